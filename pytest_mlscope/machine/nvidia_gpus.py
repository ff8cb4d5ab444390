"""The NVIDIA GPUs of this machine, as the driver names them."""

from __future__ import annotations

import ctypes
import os
from functools import cache


@cache
def nvidia_gpus() -> tuple[tuple[str, ...], str]:
    """Names of the GPUs that programs may use, in the driver's order, and why none when none.

    ``CUDA_VISIBLE_DEVICES`` is obeyed where it gives UUIDs: its numbers are in CUDA's own order, which need not be the
    driver's.
    """
    try:
        import pynvml
    except ImportError:
        # Without a driver the package would not help, so the user is not told to install it.
        if not _has_driver():
            return (), "no NVIDIA driver"
        return (), "nvidia-ml-py is not installed (pip install 'pytest-mlscope[nvidia]')"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})"
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = [(_text(pynvml.nvmlDeviceGetUUID(each)), _text(pynvml.nvmlDeviceGetName(each))) for each in handles]
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver cannot list its GPUs ({error})"
    finally:
        pynvml.nvmlShutdown()
    return _visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _has_driver() -> bool:
    """Whether the library is there through which nvidia-ml-py would ask."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _text(answer: str | bytes) -> str:
    """Older releases of the driver's library give bytes."""
    return answer.decode() if isinstance(answer, bytes) else answer


def _visible(found: list[tuple[str, str]], variable: str | None) -> tuple[tuple[str, ...], str]:
    if not found:
        return (), "the NVIDIA driver lists no GPU"
    if variable is None:
        return tuple(name for _, name in found), ""
    entries = [entry.strip() for entry in variable.split(",") if entry.strip()]
    if not entries or entries[0] == "-1":
        return (), f"CUDA_VISIBLE_DEVICES={variable!r} hides every GPU"
    # CUDA accepts the beginning of a UUID, such as GPU-8d5f.
    by_uuid = [name for entry in entries for uuid, name in found if entry[:1].isalpha() and uuid.startswith(entry)]
    # Only numbers: they hide some GPUs, but not which, for CUDA counts in an order of its own.
    return tuple(by_uuid or [name for _, name in found]), ""
