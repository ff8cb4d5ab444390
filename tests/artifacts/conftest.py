"""An empty cache, and what fills it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # ships no types
import pytest

from tests.artifacts.materialiser import CONTENT, Materialiser


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty cache."""
    return tmp_path / "home"


@pytest.fixture
def get(tmp_path: Path, home: Path) -> Materialiser:
    base = tmp_path / "suite"
    base.mkdir()
    return Materialiser(base, home)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A file of fsspec's in-memory file system."""
    url = f"memory://{tmp_path.name}/model.onnx"
    with fsspec.open(url, "wb") as stream:
        stream.write(CONTENT)
    yield url
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)
