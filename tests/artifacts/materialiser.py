"""Model files made ready for use, in a folder and a cache of a test's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.artifacts.artifact import Artifact, materialise
from pytest_mlscope.errors import ArtifactError
from pytest_mlscope.manifest.schema.frameworks import ModelFile
from tests.recorders import Told

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64


class Materialiser:
    """``materialise`` with a base folder and a cache of its own."""

    def __init__(self, base: Path, home: Path) -> None:
        self.base, self.home = base, home
        self.told = Told()

    def __call__(self, path: str, **keys: Any) -> Artifact:
        file = ModelFile.model_validate({"path": path, **keys})
        return materialise(file, base=self.base, home=self.home, recorder=self.told)

    def error(self, path: str, **keys: Any) -> str:
        """The message of the error it raises, on one line."""
        with pytest.raises(ArtifactError) as caught:
            self(path, **keys)
        message = str(caught.value)
        assert "\n" not in message
        return message
