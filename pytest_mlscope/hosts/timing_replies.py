"""What a predictor host's replies to timing operations hold: see ``docs/host-protocol.md``."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictStr
from pydantic.dataclasses import dataclass

from pytest_mlscope.hosts.reply_reading import Arrays, Count, HasLists, Number, Tensors


@dataclass(frozen=True, kw_only=True, eq=False)
class Timed(HasLists):
    """A reply with samples."""

    lists: ClassVar[tuple[str, ...]] = ("samples_ns",)

    @property
    def samples_ns(self) -> NDArray[np.int64]:
        """ns of each timed call, or of each answered query from its scheduled arrival."""
        return self.tensors["samples_ns"]


@dataclass(frozen=True, eq=False)
class TimedPath:
    """What a timed path gave for the first batch, and plain prediction before. By the framework's names."""

    bound: Arrays
    predicted: Arrays
    again: Arrays
    """A second plain prediction, where the two above differ."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WarmedUp:
    """A model with inputs bound, and how it was warmed up."""

    tensors: Arrays
    call_path: StrictStr
    warmup_calls: Count
    warmup_seconds: Number
    warmup_reason: StrictStr
    """``steady`` or ``budget``."""

    @property
    def timed_path(self) -> TimedPath:
        """The outputs among the tensors."""

        def having(prefix: str) -> Tensors:
            return {name[len(prefix) :]: array for name, array in self.tensors.items() if name.startswith(prefix)}

        # One reply carries all three, so that they are of the same inputs.
        return TimedPath(having("bound:"), having("predicted:"), having("again:"))


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """Seconds over some CPUs, counted in ticks."""

    busy: Number
    steal: Number
    tick: Number
    cpus: Count


@dataclass(frozen=True, kw_only=True)
class Throttling:
    """How often a quota of so many CPUs stopped the process, and in how many periods it could have."""

    quota: Number
    periods: Count
    throttled: Count
    seconds: Number


@dataclass(frozen=True, kw_only=True)
class Sensors:
    """A reading of what else happens on the machine; ``None`` stands for what it does not tell."""

    wall: Number
    """Seconds."""
    cpu: Number
    """Seconds of the host's threads."""
    cpu_times: CpuTimes | None = None
    clock: Number | None = None
    """Hz."""
    throttled: Count | None = None
    """Times slowed down for heat."""
    quota: Throttling | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(WarmedUp, Timed):
    """A window of timed calls."""

    window_seconds: Number
    stop_reason: StrictStr
    relative_error: Number | None
    peak_memory: Count | None
    """Bytes, resident."""
    peak_memory_since: StrictStr
    """``window`` or ``start``."""
    rows_per_sample: Count
    sensors: tuple[Sensors, Sensors]
    """Just before and after."""
    clock_step: Number
    """Seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedBlocks(WarmedUp):
    """A model whose calls can be timed in blocks."""

    call_seconds: Number
    peak_memory_since: StrictStr
    """``window`` or ``start``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Block(Timed):
    """A block of timed calls."""

    peak_memory: Count | None
    """Bytes, resident."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedServer(WarmedUp):
    """A model that is bound and warm at every batch size."""

    sizes: tuple[Count, ...]
    call_seconds: tuple[Number, ...]
    """Of each size."""
    peak_memory_since: StrictStr
    """``window`` or ``start``."""

    def __post_init__(self) -> None:
        # The search for a rate starts from these; a missing one would be taken for another size's.
        if not self.sizes or len(self.sizes) != len(self.call_seconds):
            raise ValueError("not one call of each size")


@dataclass(frozen=True, kw_only=True, eq=False)
class Served(Timed):
    """Queries that arrived and were answered."""

    lists: ClassVar[tuple[str, ...]] = (
        "samples_ns",
        "queued_ns",
        "scheduled_ns",
        "noticed_late_ns",
        "batch_sizes",
    )

    queries: Count
    unanswered: Count
    last_arrival_seconds: Number
    window_seconds: Number
    peak_memory: Count | None
    """Bytes, resident."""
    sensors: tuple[Sensors, Sensors]
    """Just before and after."""

    @property
    def queued_ns(self) -> NDArray[np.int64]:
        """ns that each answered query waited."""
        return self.tensors["queued_ns"]

    @property
    def noticed_late_ns(self) -> NDArray[np.int64]:
        """ns by which each arrival with nothing under way was noticed late."""
        return self.tensors["noticed_late_ns"]

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """Rows of each prediction."""
        return self.tensors["batch_sizes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadGenRun(HasLists):
    """Queries under MLPerf's LoadGen, and the same with nothing to predict."""

    lists: ClassVar[tuple[str, ...]] = (
        "scheduled_ns",
        "issue_delay_ns",
        "latency_ns",
        "empty_latency_ns",
        "empty_issue_delay_ns",
    )

    summary: StrictStr
    """LoadGen's."""

    @property
    def scheduled_ns(self) -> NDArray[np.int64]:
        """ns at which each query was to arrive."""
        return self.tensors["scheduled_ns"]

    @property
    def latency_ns(self) -> NDArray[np.int64]:
        """ns of each query."""
        return self.tensors["latency_ns"]

    @property
    def empty_latency_ns(self) -> NDArray[np.int64]:
        """Likewise with nothing to predict."""
        return self.tensors["empty_latency_ns"]

    @property
    def empty_issue_delay_ns(self) -> NDArray[np.int64]:
        """ns by which each was issued late, with nothing to predict."""
        return self.tensors["empty_issue_delay_ns"]
