"""Checks a file against the size and sha256 it should have."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.errors import ArtifactError, IntegrityError

NO_SUCH_FILE = "no such file; check the manifest's path"
FETCH_IT = "install git-lfs and run `git lfs pull`"
"""What is advised where a checkout has the pointer to a file that Git LFS keeps."""

_POINTER = b"version https://git-lfs.github.com/spec/"
"""Source: github.com/git-lfs/git-lfs, docs/spec.md."""
_hashes: dict[tuple[str, int, int, int], str] = {}
"""By path, size, modification time (ns) and inode: while all four stay, a file is read once a process."""


@dataclass(frozen=True)
class Artifact:
    """A file on disk, ready for use and checked."""

    path: Path
    sha256: str
    """Hexadecimal."""
    size: int
    """Bytes."""


def file_artifact(path: Path, *, origin: str | None = None) -> Artifact:
    """Size and sha256 of a file.

    :param origin: what the manifest says, where it is not the path; for messages.
    :raises ArtifactError: when it is not there, not a file, or cannot be read.
    """
    shown = str(path) if origin is None else f"{origin} ({path})"
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ArtifactError(f"{shown}: is a folder; a model file is one file, so name a file in it, or an archive")
        if not stat.S_ISREG(found.st_mode):
            raise ArtifactError(f"{shown}: is not an ordinary file")
        identity = (str(path), found.st_size, found.st_mtime_ns, found.st_ino)
        digest = _hashes.get(identity)
        if digest is None:
            with path.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    raise ArtifactError(f"{shown}: is a Git LFS pointer in the file's place; {FETCH_IT}")
                stream.seek(0)
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            _hashes[identity] = digest
    except FileNotFoundError:
        raise ArtifactError(f"{shown}: {NO_SUCH_FILE}") from None
    except OSError as error:
        raise ArtifactError(f"{shown}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise ArtifactError(f"{shown}: cannot be read: its path has a NUL character") from None
    return Artifact(path, digest, found.st_size)


def check(artifact: Artifact, *, sha256: str | None, size: int | None, origin: str | None = None) -> None:
    """Hold a file against what the manifest says.

    :raises IntegrityError: where they differ.
    """
    shown = origin or str(artifact.path)
    advice = "the file was changed or the manifest is out of date"
    if size is not None and artifact.size != size:
        raise IntegrityError(f"{shown}: has {artifact.size:,} bytes, the manifest says {size:,}; {advice}")
    if sha256 is not None and artifact.sha256 != sha256:
        raise IntegrityError(f"{shown}: sha256 is {artifact.sha256}, the manifest says {sha256}; {advice}")
