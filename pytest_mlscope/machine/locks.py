"""A lock on a file, between processes.

``flock`` and not a lock of ``fcntl(F_SETLK)`` or of the filelock package, for two properties of it: a shared mode, and
that a child process can inherit the descriptor, so that what a killed process left running still holds the lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WAITING_AFTER = 2.0
"""Seconds after which the ``waiting`` callback is called."""
_POLL = 0.005


def _acquire(descriptor: int, mode: int, waiting: Callable[[], None] | None) -> None:
    deadline = time.monotonic() + WAITING_AFTER
    while waiting is not None:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                waiting()
                break
            time.sleep(_POLL)
        else:
            return
    # Blocking from here on: waiting processes are queued by the kernel, and none of them polls.
    fcntl.flock(descriptor, mode)


@contextmanager
def file_lock(path: Path, *, shared: bool = False, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold a lock on ``path``, made where missing and left there; the system frees it when its holders are dead.

    :param shared: whether others may hold a shared lock at the same time.
    :param waiting: called once, after :data:`WAITING_AFTER` seconds, when the lock is still held by others.
    :return: the descriptor, which a child process may inherit to hold the lock as well.
    :raises OSError: when the file cannot be made or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, waiting)
        yield descriptor
    finally:
        # Closing, not unlocking: a child that inherited the descriptor goes on holding the lock.
        os.close(descriptor)
