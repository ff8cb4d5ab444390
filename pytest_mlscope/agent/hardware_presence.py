"""Whether this machine has a hardware target."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pytest_mlscope.components.hardware import AlwaysPresent, HardwareTarget, PathPresent


@cache
def _nvidia_gpus() -> tuple[int, str]:
    """How many NVIDIA GPUs the driver lists, and why none when none."""
    try:
        import pynvml
    except ImportError:
        return 0, "nvidia-ml-py is not installed (pip install 'pytest-mlscope[nvidia]')"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return 0, f"the NVIDIA driver does not answer ({error})"
    try:
        count = int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
    return count, "" if count else "the NVIDIA driver lists no GPU"


def why_absent(target: HardwareTarget) -> str | None:
    """Why this machine lacks the target; ``None`` when it has it."""
    rule = target.recognise
    if isinstance(rule, AlwaysPresent):
        return None
    if isinstance(rule, PathPresent):
        return None if Path(rule.path).exists() else f"{rule.path} does not exist"
    count, reason = _nvidia_gpus()
    return None if count else reason
