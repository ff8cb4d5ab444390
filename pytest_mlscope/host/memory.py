"""Peak resident memory of this process, as the kernel keeps it: no sampling, so no peak is missed."""

import ctypes
import os
import sys
from typing import Optional


def reset_peak() -> bool:
    """Start the peak anew at the present resident memory.

    :return: whether the kernel did so: Linux with ``/proc/self/clear_refs`` (see proc(5)). Where it did not,
        :func:`peak_bytes` speaks of the time since the process began.
    """
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            # 5 resets VmHWM; other values clear flags of pages. See proc(5).
            clear.write("5")
    except OSError:
        return False
    return True


def resident_bytes() -> Optional[int]:
    """Resident memory in bytes at this moment, by ``/proc/self/statm``; ``None`` where there is none."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def return_free_memory() -> None:
    """Give the allocator's free pages back to the kernel, where the C library can: glibc's malloc_trim(3)."""
    if sys.platform.startswith("linux"):
        # Other C libraries, such as musl, have none.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(ctypes.c_size_t(0))


def peak_bytes() -> Optional[int]:
    """Peak resident memory in bytes since the last :func:`reset_peak` that returned ``True``, else since the start.

    ``VmHWM`` of ``/proc/self/status``; elsewhere ``ru_maxrss`` of getrusage(2), which cannot be reset. ``None`` where
    neither exists.
    """
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, everyone else kibibytes.
    return (peak if sys.platform == "darwin" else peak * 1024) or None
