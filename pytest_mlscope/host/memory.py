"""Peak resident memory of this process, as the kernel keeps it: no sampling, so no peak is missed."""

import sys
from typing import Optional


def reset_peak() -> bool:
    """Start the peak anew at the present resident memory.

    :return: whether the kernel did so: Linux with ``/proc/self/clear_refs`` (see proc(5)). Where it did not,
        :func:`peak_bytes` speaks of the time since the process began.
    """
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        return False
    return True


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
