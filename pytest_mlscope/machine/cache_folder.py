"""Where environments and artifacts live on this machine."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pytest_mlscope.errors import MlscopeError

HOME_VARIABLE = "MLSCOPE_HOME"


def cache_home() -> Path:
    """``$MLSCOPE_HOME``, else the user's cache folder for ``mlscope``; absolute, not necessarily there yet.

    :raises MlscopeError: when the user has no home folder and the variable is not set.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return expanded(chosen)
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("mlscope"))
    except (RuntimeError, KeyError):
        folder = Path("~")
    if not folder.is_absolute():
        # A container may run under a number that no user has: then only $HOME could say where to write.
        raise MlscopeError(f"this user has no home folder; set {HOME_VARIABLE} to a folder for the cache")
    return folder


def expanded(path: str | Path) -> Path:
    """An absolute path, ``~`` replaced by the user's home folder.

    :raises MlscopeError: when that user has none.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise MlscopeError(f"{path}: the user has no home folder; write an absolute path without '~'") from None


def environments_folder(home: Path) -> Path:
    """Where framework environments are."""
    return home / "environments"


def artifacts_folder(home: Path) -> Path:
    """Where downloaded and built model files are."""
    return home / "artifacts"


def revisions_folder(home: Path) -> Path:
    """Where git revisions are unpacked for comparing, once a commit; they stay until the cache is cleared."""
    return home / "revisions"


def describe_os_error(error: OSError) -> str:
    """The system's reason, with what to do where the disk or a quota is what is wrong.

    >>> describe_os_error(OSError(errno.EROFS, "Read-only file system"))
    'Read-only file system: set MLSCOPE_HOME to a folder that you can write to'
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason}: free some space, or set {HOME_VARIABLE} to a folder on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}: set {HOME_VARIABLE} to a folder that you can write to"
    return reason


def writable_folder(folder: Path, *, error_type: type[MlscopeError] = MlscopeError) -> Path:
    """Make a cache folder where it is missing and check that files can be written there.

    :raises MlscopeError: (or ``error_type``) when it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Written, not asked by os.access: root, quotas, full disks and read-only mounts answer that one wrongly.
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise error_type(f"{folder}: the cache folder cannot be written to: {describe_os_error(error)}") from None
    return folder
