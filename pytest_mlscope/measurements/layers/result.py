"""What profiling layers gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_mlscope.record_fields import (
    Bytes,
    Count,
    Seconds,
    derived,
)


@dataclass(frozen=True)
class ProfiledLayer:
    """One layer as the framework executed it, which after fusion may stand for several of the model file."""

    name: str
    """Its name, as the framework executed it."""
    kind: str
    """The framework's own word for its type, such as ``Conv``."""
    seconds: Seconds | None
    """Median over the profiled runs, or their mean where the profiler keeps no more; ``None`` where it does not say."""
    shape: tuple[Count, ...] | None
    """Shape of its first output; ``None`` where unknown."""
    memory: Bytes | None
    """Memory of its outputs or workspace, as the framework counts it; ``None`` where unknown."""


@dataclass(frozen=True)
class LayerProfile:
    """A model's layers in order of execution, by the framework's own profiler."""

    layers: Sequence[ProfiledLayer] = field(repr=False)
    """In order of execution."""
    runs: Count
    """Predictions that were profiled."""
    unprofiled_median: Seconds | None
    """Median of a prediction on the timed call path, without the profiler, measured just before."""
    not_available: str | None = None
    """Why there are no layers; ``None`` where there are."""

    @property
    @derived
    def seconds(self) -> Seconds | None:
        """Sum over the layers that have a time; ``None`` where none has."""
        known = [layer.seconds for layer in self.layers if layer.seconds is not None]
        return sum(known) if known else None

    @property
    @derived
    def explained(self) -> float | None:
        """``seconds`` relative to the unprofiled median: what the profile explains. A profiler slows down, and layers
        may run side by side, so it may be above 1.
        """
        seconds = self.seconds
        return seconds / self.unprofiled_median if seconds is not None and self.unprofiled_median else None
