"""The cache of model files and of git revisions that were unpacked for comparing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import artifacts_folder, revisions_folder


@dataclass(frozen=True)
class Freed:
    """A folder that was emptied."""

    folder: Path
    size: int
    """Bytes that were in it."""


def clear_cache(home: Path) -> Iterator[Freed]:
    """Remove downloaded and built model files, and unpacked revisions; environments stay.

    :raises MlscopeError: when something cannot be removed.
    """
    for folder in (artifacts_folder(home), revisions_folder(home)):
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise MlscopeError(f"{error.filename or folder}: cannot be removed: {error.strerror}") from None
        yield Freed(folder, size)
