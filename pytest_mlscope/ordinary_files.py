"""Reading files that a user names: ordinary ones alone.

A FIFO without a writer never opens, a device never ends, and either could stand where a file is expected.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a pointer to a file in Git LFS begins. Source: github.com/git-lfs/git-lfs, docs/spec.md."""
LFS_ADVICE = "is a Git LFS pointer in the file's place; install git-lfs and run `git lfs pull`"

_KINDS = {
    stat.S_IFIFO: "it is a FIFO, not an ordinary file",
    stat.S_IFCHR: "it is a device, not an ordinary file",
    stat.S_IFBLK: "it is a device, not an ordinary file",
    stat.S_IFSOCK: "it is a socket, not an ordinary file",
    stat.S_IFDIR: "it is a folder, not a file",
}


def why_not_ordinary(mode: int) -> str | None:
    """What a file is by its ``st_mode``, where it is not an ordinary one.

    >>> why_not_ordinary(stat.S_IFIFO)
    'it is a FIFO, not an ordinary file'
    >>> why_not_ordinary(stat.S_IFREG)
    """
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "it is not an ordinary file")


def open_ordinary(path: Path) -> BufferedReader:
    """Open an ordinary file to read its bytes. It never blocks.

    :raises OSError: as :func:`open`, and with a ``strerror`` of its own for what is no ordinary file.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except ValueError:
        raise OSError(errno.EINVAL, "its path has a NUL character", str(path)) from None
    try:
        if wrong := why_not_ordinary(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, wrong, str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_ordinary(path: Path, *, most: int) -> bytes:
    """An ordinary file's bytes, ``most`` of them. Raises as :func:`open_ordinary`."""
    with open_ordinary(path) as stream:
        return stream.read(most)
