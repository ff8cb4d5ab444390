"""Checks a file against the size and sha256 it should have."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pytest_mlscope.errors import ArtifactError, FileLacks, IntegrityError
from pytest_mlscope.host.onnx_file import NotOnnx, onnx_content

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
    """Bytes, of the file alone."""
    external: tuple[Path, ...] = ()
    """Further files that hold its weights. ``sha256`` then covers all the bytes: those of the file, then those of
    these files in this order."""
    own_sha256: str | None = None
    """The sha256 of the file alone, where there are further files."""

    def with_external_weights(self, *, origin: str | None = None) -> Artifact:
        """The artifact with the files that an ONNX file keeps weights in; other files come back as they are.

        :raises ArtifactError: when one of them is missing or cannot be read.
        """
        shown = origin or str(self.path)
        # Relative to the file, as frameworks look for them.
        external = tuple(self.path.parent / name for name in _external_weights(self.path, self.sha256))
        if not external:
            return self
        parts = []
        for path in external:
            try:
                parts.append(file_artifact(path))
            except ArtifactError as error:
                raise ArtifactError(f"{shown} keeps weights in another file: {error}") from None
        digest = _together(self.path, external, (self.sha256, *(part.sha256 for part in parts)))
        return replace(self, sha256=digest, external=external, own_sha256=self.sha256)


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def file_artifact(path: Path, *, origin: str | None = None) -> Artifact:
    """Size and sha256 of a file.

    :param origin: what the manifest says, where that is not the path; used in messages.
    :raises ArtifactError: when the file does not exist, is not an ordinary file, or cannot be read.
    """
    shown = str(path) if origin is None else f"{origin} ({path})"
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ArtifactError(
                f"{shown}: is a folder; a model file is one file, so name a file in the folder, or an archive"
            )
        if not stat.S_ISREG(found.st_mode):
            raise ArtifactError(f"{shown}: is not an ordinary file")
        # The inode counts too: a replaced file may keep its size, and an archive may restore its time.
        identity = (str(path), found.st_size, found.st_mtime_ns, found.st_ino)
        digest = _hashes.get(identity)
        if digest is None:
            with path.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    raise FileLacks(
                        f"{shown}: is a Git LFS pointer in the file's place",
                        path=str(path),
                        pointer=True,
                        advice="install git-lfs and run `git lfs pull`",
                    )
                stream.seek(0)
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            _hashes[identity] = digest
    except FileNotFoundError:
        raise FileLacks(
            f"{shown}: no such file", path=str(path), pointer=False, advice="check the manifest's path"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{shown}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise ArtifactError(f"{shown}: cannot be read: its path has a NUL character") from None
    return Artifact(path, digest, found.st_size)


@lru_cache(maxsize=256)
def _external_weights(path: Path, sha256: str) -> tuple[str, ...]:
    """Names of the files that an ONNX file keeps weights in; none where the file is not ONNX."""
    try:
        with path.open("rb") as stream:
            # Every ONNX file begins with field 1, the version of the format, whatever its name.
            if stream.read(1) != b"\x08" and path.suffix.lower() != ".onnx":
                return ()
        return tuple(onnx_content(str(path)).external)
    except (NotOnnx, OSError, ValueError):
        # The framework that loads the file says what is wrong with it.
        return ()


@lru_cache(maxsize=256)
def _together(path: Path, external: tuple[Path, ...], digests: tuple[str, ...]) -> str:
    """sha256 of the bytes of all these files; ``digests``, one of each file, make the cache notice a change."""
    digest = hashlib.sha256()
    for each in (path, *external):
        with each.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def check(artifact: Artifact, *, sha256: str | None, size: int | None, origin: str | None = None) -> None:
    """Compare a model file with what the manifest says.

    :raises IntegrityError: when they differ.
    :raises ArtifactError: when no framework could open the file.
    """
    shown = origin or str(artifact.path)
    if not _is_text(str(artifact.path)):
        # Frameworks take paths as text and fail in ways of their own.
        raise ArtifactError(f"{shown}: its path is not UTF-8, and frameworks cannot open it; rename the file or folder")
    advice = "the file was changed or the manifest is out of date"
    if size is not None and artifact.size != size:
        raise IntegrityError(f"{shown}: has {artifact.size:,} bytes, the manifest says {size:,}; {advice}")
    if sha256 is not None and artifact.own_sha256 == sha256:
        names = ", ".join(path.name for path in artifact.external)
        raise IntegrityError(
            f"{shown}: the manifest's sha256 covers this file alone, but weights are also in {names}; write the "
            f"sha256 of all: {artifact.sha256} (`cat {artifact.path.name} {names.replace(',', '')} | sha256sum`)"
        )
    if sha256 is not None and artifact.sha256 != sha256:
        raise IntegrityError(f"{shown}: sha256 is {artifact.sha256}, the manifest says {sha256}; {advice}")
