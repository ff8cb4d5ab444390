"""Leases on a device, so that on one machine a measurement never runs beside other work.

Latency takes an exclusive lease, accuracy and parity a shared one. Leases hold between all processes of one user on
one machine, whatever pytest run they belong to, and end with the process that holds them.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine.cache_folder import expanded
from pytest_mlscope.machine.locks import file_lock
from pytest_mlscope.recorder import SILENT, Recorder

LEASES_VARIABLE = "MLSCOPE_LEASES"
# Not $TMPDIR: batch systems give each job its own, and then two jobs would not see each other's leases.
MACHINE_WIDE = Path("/tmp")  # noqa: S108 - the folder made in it is private and its owner is checked

_held: set[tuple[str, int]] = set()


def leases_folder() -> Path:
    """The folder of the lease files: ``$MLSCOPE_LEASES``, else one of this user's in the machine's ``/tmp``.

    :raises MlscopeError: when it cannot be made or belongs to somebody else.
    """
    chosen = os.environ.get(LEASES_VARIABLE)
    if chosen:
        folder = expanded(chosen)
    else:
        root = MACHINE_WIDE if os.access(MACHINE_WIDE, os.W_OK) else Path(tempfile.gettempdir())
        folder = root / f"mlscope-leases-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In /tmp anyone may have put a link there; a folder that the user chose may be one.
        found = folder.lstat() if not chosen else folder.stat()
    except OSError as error:
        raise MlscopeError(
            f"{folder}: the folder for device leases cannot be made: {error.strerror}; set {LEASES_VARIABLE} to another"
        ) from None
    if not chosen and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()):
        raise MlscopeError(
            f"{folder}: the folder for device leases is not a folder of yours; set {LEASES_VARIABLE} to one that is"
        )
    return folder


def lease_holders(device: str) -> list[int]:
    """PIDs of other processes that hold a lease on the device or are next, where the kernel says (proc(5))."""
    files = set()
    for suffix in ("turnstile", "lease"):
        try:
            files.add(str((leases_folder() / f"{_file_name(device)}.{suffix}").stat().st_ino))
        except (OSError, MlscopeError):
            continue
    try:
        locks = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    # 1: FLOCK  ADVISORY  WRITE 4711 fe:00:3884039 0 EOF; waiting ones have an arrow behind the number.
    held = [line.split() for line in locks if " FLOCK " in line and "->" not in line]
    pids = {int(fields[4]) for fields in held if len(fields) > 5 and fields[5].rpartition(":")[2] in files}
    # 0: a process of another PID namespace.
    return sorted(pids - {0, os.getpid()})


def _file_name(device: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", device)


@contextmanager
def _lease(device: str, *, shared: bool, recorder: Recorder) -> Iterator[float]:
    holder = (device, threading.get_ident())
    # flock works between descriptors, so that even the same thread would wait for itself.
    if holder in _held:
        raise RuntimeError(f"a lease on {device!r} is already held here: waiting for another would never end")
    folder = leases_folder()
    name = _file_name(device)
    began = time.monotonic()

    # At the turnstile and at the lease, it is told once.
    @functools.cache
    def say_waiting() -> None:
        holders = " and ".join(f"process {pid}" for pid in lease_holders(device)) or "another process"
        recorder.waiting(
            f"waiting for {holders}: only one process may measure on this machine at a time; leases are in {folder}"
        )

    # Everyone passes the turnstile; who wants the device alone keeps it shut while waiting for those inside to leave,
    # so that a stream of sharers cannot keep it waiting for ever.
    turnstile = file_lock(folder / f"{name}.turnstile", waiting=say_waiting)
    lease = file_lock(folder / f"{name}.lease", shared=shared, waiting=say_waiting)
    try:
        with turnstile:
            lease.__enter__()
    except OSError as error:
        raise MlscopeError(
            f"{folder}: no lease on {device} can be taken: {error.strerror}; set {LEASES_VARIABLE} to another folder"
        ) from None
    _held.add(holder)
    try:
        yield time.monotonic() - began
    finally:
        _held.discard(holder)
        lease.__exit__(None, None, None)


@contextmanager
def shared_lease(device: str, *, recorder: Recorder = SILENT) -> Iterator[float]:
    """Use a device together with others who share it, and with nobody who wants it alone.

    :param device: the hardware target's name, such as ``cpu``.
    :param recorder: told after two seconds of waiting.
    :return: as context, the seconds waited.
    :raises MlscopeError: when lease files cannot be made or locked.
    """
    with _lease(device, shared=True, recorder=recorder) as waited:
        yield waited


@contextmanager
def exclusive_lease(device: str, *, recorder: Recorder = SILENT) -> Iterator[float]:
    """Use a device alone. Parameters, context value and errors as :func:`shared_lease`."""
    with _lease(device, shared=False, recorder=recorder) as waited:
        yield waited
