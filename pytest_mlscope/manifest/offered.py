"""Which hardware and precisions a framework could run on some machine."""

from __future__ import annotations

from pytest_mlscope.components import Registry
from pytest_mlscope.errors import FrameworkError, HardwareError


def offers(registry: Registry, framework: str, hardware: str, precision: str) -> bool:
    """Whether a framework could run this precision on this hardware somewhere; true where that is not known."""
    try:
        description = registry.frameworks[framework].description
        target = registry.hardware_targets[hardware]
    except (KeyError, FrameworkError, HardwareError):
        return True
    return target.device_of(description) is not None and precision in target.precisions_of(description)
