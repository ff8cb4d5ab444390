"""What a profiler is: something that watches a measured window from outside the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MeasuredWindow:
    """A stretch of time in which a predictor host is measured."""

    host_pid: int
    """Process id of the predictor host."""
    hardware: str
    """Name of the hardware target, such as ``cpu``."""
    device: str
    """What the framework calls the device, such as ``CPUExecutionProvider``."""
    case_id: str
    lineage: tuple[str, ...] = ()
    """Names of the hardware targets that this one extends, nearest first, such as ``("cuda",)``."""


@dataclass(frozen=True)
class Reading:
    """One quantity over a window. ``value`` is ``None`` when the sensor is not available; ``note`` says why."""

    name: str
    unit: str
    value: float | None
    note: str = ""
    samples: Sequence[tuple[float, float]] = field(default=())
    """(seconds since the window opened, value) pairs, where kept."""


class Profiler(ABC):
    """Started before a measured window and stopped after it; one object serves one window."""

    name: str

    @abstractmethod
    def start(self, window: MeasuredWindow) -> None:
        """Called just before the window opens."""

    @abstractmethod
    def stop(self) -> Sequence[Reading]:
        """Called just after the window closes; what was seen."""
