"""What a profiler is: something that watches a measured window from outside the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pytest_mlscope.record_fields import Mark


@dataclass(frozen=True)
class MeasuredWindow:
    """A span of time during which a predictor host is measured."""

    host_pid: int
    """Process id of the predictor host."""
    hardware: str
    """Name of the hardware target, such as ``cpu``."""
    device: str
    """What the framework calls the device, such as ``CPUExecutionProvider``."""
    case_id: str
    lineage: tuple[str, ...] = ()
    """Names of the hardware targets that this one extends, the nearest first, such as ``("cuda",)``."""


@dataclass(frozen=True)
class Reading:
    """One quantity, read over a window."""

    name: str
    """What was read."""
    unit: str
    """Its unit; empty for counts."""
    value: float | None
    """The reading; ``None`` where the sensor is not available, in which case ``note`` says why."""
    note: str = ""
    """Why it is not available, or how it was read."""
    samples: Annotated[Sequence[tuple[float, float]], Mark.PACKED] = field(default=())
    """Pairs of seconds since the window opened and the value read then, where the profiler keeps them."""


class Profiler(ABC):
    """Watches one measured window: it is started before the window and stopped after it."""

    name: str

    @abstractmethod
    def start(self, window: MeasuredWindow) -> None:
        """Begin to watch. This is called just before the window opens."""

    @abstractmethod
    def stop(self) -> Sequence[Reading]:
        """Stop watching and return the readings. This is called just after the window closes."""
