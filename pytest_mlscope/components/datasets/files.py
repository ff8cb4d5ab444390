"""Dataset files: found relative to the manifest, and verified before use."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pytest_mlscope.errors import DatasetError, IntegrityError
from pytest_mlscope.ordinary_files import LFS_ADVICE, LFS_POINTER, open_ordinary, read_ordinary, why_not_ordinary

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
"""A path, relative to the manifest's folder unless absolute."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def dataset_file(path: str, base: Path, *, sha256: str | None) -> Path:
    """The file ``path`` means.

    :raises DatasetError: when it does not exist, is no file or cannot be read.
    :raises IntegrityError: when its sha256 is not the one given.
    """
    found = base / path
    try:
        state = found.stat()
        if wrong := why_not_ordinary(state.st_mode):
            raise DatasetError(f"{found}: {wrong}; a dataset is read from ordinary files")
        # Git LFS leaves a small text in place of a file that it has not fetched; as data it would only look damaged.
        if read_ordinary(found, most=len(LFS_POINTER)) == LFS_POINTER:
            raise DatasetError(f"{found}: {LFS_ADVICE}")
        if sha256 is not None:
            actual = _sha256(found, state.st_ino, state.st_size, state.st_mtime_ns)
            if actual != sha256:
                raise IntegrityError(f"{found}: sha256 is {actual}, the manifest says {sha256}")
    except FileNotFoundError:
        raise DatasetError(f"{found}: no such dataset file") from None
    except OSError as error:
        raise DatasetError(f"{found}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise DatasetError(f"{found}: cannot be read: its path has a NUL character") from None
    return found


@lru_cache(maxsize=256)
def _sha256(path: Path, inode: int, size: int, mtime_ns: int) -> str:
    # Keyed by what changes when the file does: a suite opens the same dataset once a case.
    with open_ordinary(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
