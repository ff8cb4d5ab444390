"""Unpacks Debian packages into a folder, without root, dpkg or maintainer scripts.

A ``.deb`` is an ``ar`` archive of ``debian-binary``, ``control.tar.*`` and ``data.tar.*`` (deb(5)). The folder is laid
out as a merged-/usr system: ``bin``, ``lib`` and the like are links into ``usr``, whichever way a package has it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pytest_mlscope.errors import EnvironmentCreationError

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_CHUNK = 2**20
# Nothing reads them here; licences, in usr/share/doc/*/copyright, stay.
_LEFT_OUT = ("usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/doc")


class _Part:
    """A stretch of an open file, as a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._stream.read(wanted)
        self._left -= len(data)
        return data

    def readable(self) -> bool:
        return True


def _members(stream: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Name and size of each member of an ``ar`` archive, the stream at its beginning.

    :raises ValueError: when it is none.
    """
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("not an ar archive")
    while header := stream.read(_AR_HEADER):
        if len(header) < _AR_HEADER or header[58:] != b"`\n":
            raise ValueError("a broken ar archive")
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        begin = stream.tell()
        yield name, size
        # Members begin at even offsets.
        stream.seek(begin + size + size % 2)


def _zstd(part: _Part) -> Any:
    try:
        return importlib.import_module("compression.zstd").open(part)
    except ImportError:
        pass  # Before Python 3.14.
    try:
        return importlib.import_module("zstandard").ZstdDecompressor().stream_reader(part)
    except ImportError:
        raise EnvironmentCreationError(
            "this Debian package is compressed with zstd, which Python reads from 3.14 on; pip install zstandard"
        ) from None


@contextmanager
def _data(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """The package's files, to be read in order.

    :raises ValueError: when there are none.
    :raises EnvironmentCreationError: when this Python cannot decompress them.
    """
    for name, size in _members(stream):
        base, _, compression = name.partition(".tar")
        if base != "data":
            continue
        source: Any = _Part(stream, size)
        if compression == ".zst":
            source, compression = _zstd(source), ""
        # With "|", tarfile reads without seeking: a stretch of the archive has no positions of its own.
        modes = {"": "r|", ".gz": "r|gz", ".bz2": "r|bz2", ".xz": "r|xz"}
        if compression not in modes:
            raise ValueError(f"an unknown compression, {name}")
        try:
            archive = tarfile.open(  # noqa: SIM115 - closed below; only opening it may lack a decompressor
                fileobj=source,
                mode=modes[compression],  # type: ignore[call-overload]
            )
        except tarfile.CompressionError:
            raise EnvironmentCreationError(
                f"this Python was built without {compression[1:]}, which Debian packages need; use another one"
            ) from None
        with archive:
            yield archive
        return
    raise ValueError("no data in it")


def _lexical(path: PurePosixPath) -> PurePosixPath | None:
    """A path relative to the root without ``.`` and ``..``; ``None`` where it leaves the root."""
    parts: list[str] = []
    for part in path.parts:
        if part in ("/", "."):
            continue
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _merged(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath("usr", path) if path.parts and path.parts[0] in _MERGED else path


def _inside(root: Path, name: str) -> PurePosixPath:
    """:raises ValueError: for a name that leads outside."""
    path = _lexical(PurePosixPath(name))
    if path is None:
        raise ValueError(f"{name!r} leads outside")
    return _merged(path)


def _real_parent(root: Path, path: Path) -> Path:
    """The folder that a file is to be written to, made where missing, links followed.

    :raises ValueError: when a link leads outside.
    """
    # After links: a package may make a link in one member and write through it in the next.
    parent = Path(os.path.realpath(path.parent))
    if not parent.is_relative_to(root):
        raise ValueError(f"{path} leads outside")
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _make_way(path: Path) -> None:
    # A link is removed, not followed: to write through it could change another package's file.
    if path.is_symlink() or path.is_file():
        path.unlink()


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """:raises ValueError: for what leads outside."""
    name = _inside(root, member.name)
    if not name.parts or (name.is_relative_to("usr/share") and _is_left_out(name)):
        return
    path = _real_parent(root, root / name) / name.name
    if member.isdir():
        # A folder may be a link already, made by another package.
        if not path.is_dir():
            _make_way(path)
            path.mkdir()
        return
    _make_way(path)
    if member.issym():
        target = PurePosixPath(member.linkname)
        # Where the link was meant to stand, which merging /usr may have changed.
        base = PurePosixPath() if target.is_absolute() else PurePosixPath(member.name).parent
        inside = _lexical(base / str(target).lstrip("/") if target.is_absolute() else base / target)
        if inside is None:
            raise ValueError(f"the link {member.name!r} leads outside")
        # Relative: an absolute link would lead into this machine's own file system.
        path.symlink_to(os.path.relpath(root / _merged(inside), path.parent))
    elif member.islnk():
        source = Path(os.path.realpath(root / _inside(root, member.linkname)))
        if not source.is_relative_to(root):
            raise ValueError(f"the link {member.name!r} leads outside")
        os.link(source, path)
    elif member.isfile():
        content = archive.extractfile(member)
        with path.open("wb") as target_file:
            if content is not None:
                shutil.copyfileobj(content, target_file, _CHUNK)
        # Never setuid, and always such that the cache's owner can remove it again.
        path.chmod(member.mode & 0o777 | 0o600)


def _is_left_out(name: PurePosixPath) -> bool:
    return name.name != "copyright" and any(name.is_relative_to(folder) for folder in _LEFT_OUT)


def prepare_root(root: Path) -> None:
    """Make the folder, with the links of a merged /usr."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def unpack(deb: Path, root: Path, *, name: str) -> None:
    """Unpack one package into a folder made by :func:`prepare_root`. Devices and pipes are left out.

    :param name: the package's, for messages.
    :raises EnvironmentCreationError: when it is broken, holds what leads outside, or cannot be decompressed.
    :raises OSError: when something cannot be written.
    """
    real = Path(os.path.realpath(root))
    try:
        with deb.open("rb") as stream, _data(stream) as archive:
            for member in archive:
                _write(archive, member, real)
    except (ValueError, tarfile.TarError, EOFError) as error:
        raise EnvironmentCreationError(f"the Debian package {name} cannot be unpacked: {error}") from None
