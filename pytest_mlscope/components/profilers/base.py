"""What a profiler is: something that watches a measured window from outside the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pytest_mlscope.record_fields import Mark


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
    """One quantity over a window."""

    name: str
    """What was read."""
    unit: str
    """Its unit; empty for counts."""
    value: float | None
    """The reading; ``None`` where the sensor is not available, and ``note`` says why."""
    note: str = ""
    """Why it is not available, or how it was read."""
    samples: Annotated[Sequence[tuple[float, float]], Mark.PACKED] = field(default=())
    """[seconds since the window opened, value] pairs, where kept."""


class Profiler(ABC):
    """Started before a measured window and stopped after it; one object serves one window."""

    name: str

    @abstractmethod
    def start(self, window: MeasuredWindow) -> None:
        """Called just before the window opens."""

    @abstractmethod
    def stop(self) -> Sequence[Reading]:
        """Called just after the window closes; what was seen."""
