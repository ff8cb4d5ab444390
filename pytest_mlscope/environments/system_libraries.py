"""Whether this machine has the shared libraries that a framework takes from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from pytest_mlscope.environments.child_variables import child_variables

_TIMEOUT_SECONDS = 60.0


def _loads(soname: str) -> bool:
    """Ask the dynamic loader itself, in a process of its own: what a library does when loaded is not for this one."""
    command = [sys.executable, "-I", "-S", "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", soname]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_SECONDS, env=child_variables(), stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def missing_libraries(system_libraries: Mapping[str, str]) -> str | None:
    """All that are missing, each with how to get it, as one line; ``None`` where none is.

    :param system_libraries: of ``framework.yml``: soname to how to get it.
    """
    # All of them at once, so that the user installs once.
    missing = [f"{soname} ({how})" for soname, how in system_libraries.items() if not _loads(soname)]
    return f"this machine lacks {', '.join(missing)}" if missing else None
