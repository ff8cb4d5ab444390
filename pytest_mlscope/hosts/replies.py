"""What a predictor host's replies hold: see ``docs/host-protocol.md``.

A host runs code of others, in an interpreter of others. A reply that lacks something, or holds another type, would be a
traceback far from its cause, or a wrong number. So each is checked once, where it arrives.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PlainValidator, Strict, StrictBool, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Tensors = dict[str, NDArray[Any]]
Count = Annotated[NonNegativeInt, Strict()]
Number = Annotated[float, Strict()]
_Arrays = Annotated[Tensors, PlainValidator(lambda arrays: arrays)]
"""Read from the arena already."""

R = TypeVar("R")


class Malformed(Exception):  # noqa: N818  # says what the reply is, and becomes an UnreadableReply
    """A reply is not as the protocol says."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """What a host tells of itself once its framework is imported."""

    version: StrictStr
    build: dict[StrictStr, StrictStr]
    python: StrictStr
    libraries: dict[StrictStr, StrictStr]
    """Distribution to version."""
    devices: tuple[StrictStr, ...] | None = None
    """What the build offers here; ``None`` where only loading a model shows."""
    resident: Count | None = None
    """Bytes."""
    cpus: tuple[Count, ...] | None = None
    """Those it may run on once the framework is imported; ``None`` where unknown."""
    thread_variables: dict[StrictStr, StrictStr] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """Seconds: the clock that times calls, and the time of day."""

    monotonic: Number
    wall: Number


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that was loaded."""

    seconds: Number
    resolved: dict[StrictStr, Any]
    """What precision and threads came to, as the framework reads them back."""


@dataclass(frozen=True, kw_only=True)
class Unloaded:
    """No model is loaded."""

    resident: Count | None = None
    """Bytes; ``None`` where unknown."""


@dataclass(frozen=True, kw_only=True)
class FailedBatch:
    """Rows ``start`` to before ``stop`` of a request have no prediction."""

    start: Count
    stop: Count
    message: StrictStr

    def __post_init__(self) -> None:
        if self.start > self.stop:
            raise ValueError("a batch ends before it starts")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Outputs by the framework's names, and the batches without any."""

    tensors: _Arrays
    """In place: they hold until ``DEPTH`` further requests were sent."""
    errors: tuple[FailedBatch, ...]
    seconds: Number


@dataclass(frozen=True, kw_only=True, eq=False)
class _HasArrays:
    """A reply whose tensors are lists of whole numbers, int64 of shape ``(n,)``, among others perhaps."""

    arrays: ClassVar[tuple[str, ...]]
    """Their names."""

    tensors: _Arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Timed(_HasArrays):
    """A reply with samples."""

    arrays: ClassVar[tuple[str, ...]] = ("samples_ns",)

    @property
    def samples_ns(self) -> NDArray[np.int64]:
        """ns of each timed call, or of each answered query from its scheduled arrival."""
        return self.tensors["samples_ns"]


@dataclass(frozen=True, eq=False)
class TimedPath:
    """What a timed path gave for the first batch, and plain prediction before. By the framework's names."""

    bound: _Arrays
    predicted: _Arrays
    again: _Arrays
    """A second plain prediction, where the two above differ."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WarmedUp:
    """A model with inputs bound, and how it was warmed up."""

    tensors: _Arrays
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
        if not self.sizes or len(self.sizes) != len(self.call_seconds):
            raise ValueError("not one call of each size")


@dataclass(frozen=True, kw_only=True, eq=False)
class Served(Timed):
    """Queries that arrived and were answered."""

    arrays: ClassVar[tuple[str, ...]] = (
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
class LoadGenRun(_HasArrays):
    """Queries under MLPerf's LoadGen, and the same with nothing to predict."""

    arrays: ClassVar[tuple[str, ...]] = (
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


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a profile; ``None`` stands for what is unknown."""

    name: StrictStr
    kind: StrictStr
    seconds: Number | None
    shape: tuple[Annotated[int, Strict()], ...] | None
    memory: Count | None
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class ProfiledLayers:
    """Layers in order of execution."""

    layers: tuple[Layer, ...]
    unprofiled_median: Number
    """Seconds of a prediction, timed just before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerOutputs:
    """Outputs of one batch, each in its own shape."""

    tensors: _Arrays
    """In place: they hold until ``DEPTH`` further requests were sent."""
    peak_memory: Count | None = None
    """Bytes, resident, since the host started."""


class Examined:
    """What only the host can see of a loaded model."""

    aspect: ClassVar[str]
    """What to ask for."""


@dataclass(frozen=True, kw_only=True)
class ExaminedInputs(Examined):
    """Inputs that a prediction changed, and what one on read-only arrays raised."""

    aspect: ClassVar[str] = "inputs"

    written: tuple[StrictStr, ...]
    read_only: StrictStr | None


@dataclass(frozen=True, kw_only=True)
class ExaminedOutputs(Examined):
    """Whether outputs are said to be new arrays, and those that later predictions changed."""

    aspect: ClassVar[str] = "outputs"

    claimed: StrictBool
    overwritten: tuple[StrictStr, ...]


@dataclass(frozen=True, kw_only=True)
class ExaminedBound(Examined):
    """Outputs of the timed path that are not what prediction gives, or are not there."""

    aspect: ClassVar[str] = "bound"

    call_path: Any
    """Text, if the predictor is right."""
    differing: tuple[StrictStr, ...]
    lacking: tuple[StrictStr, ...]


@dataclass(frozen=True, kw_only=True)
class ExaminedWork(Examined):
    """What predicting again and again took."""

    aspect: ClassVar[str] = "work"

    cpu_seconds: Number
    waiting_seconds: Number | None
    """Ready to run without a core; ``None`` where unknown."""
    wall_seconds: Number
    calls: Count
    os_threads: Count | None


@functools.cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_reply(kind: type[R], reply: Mapping[str, Any]) -> R:
    """A reply as what it should be.

    :param reply: the header, with arrays by name for its ``tensors``.
    :raises Malformed: when it lacks something or holds another type.

    >>> read_reply(Unloaded, {"resident": 4096})
    Unloaded(resident=4096)
    >>> read_reply(Unloaded, {"resident": "much"})
    Traceback (most recent call last):
    pytest_mlscope.hosts.replies.Malformed: its 'resident' is not as the protocol says
    """
    try:
        read: R = _adapter(kind).validate_python(dict(reply))  # type: ignore[arg-type]  # mypy: a class is unhashable
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if not first["loc"]:
            raise Malformed(f"it is not as the protocol says: {first['msg']}") from None
        if first["type"] == "missing" and len(first["loc"]) == 1:
            raise Malformed(f"it has no {first['loc'][0]!r}") from None
        raise Malformed(f"its {first['loc'][0]!r} is not as the protocol says") from None
    if isinstance(read, _HasArrays):
        for name in read.arrays:
            array = read.tensors.get(name)
            if array is None:
                raise Malformed(f"it has no tensor {name!r}")
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise Malformed(f"its tensor {name!r} is not a list of whole numbers")
    return read


def wrong_error(error: Any) -> str | None:
    """What is wrong with a reply's ``error``; ``None`` when it can be read."""
    if (
        not isinstance(error, dict)
        or not isinstance(error.get("kind"), str)
        or not isinstance(error.get("message"), str)
    ):
        return "its 'error' is not a JSON object with a kind and a message"
    if error["kind"] not in ("unsupported", "exception"):
        return f"its error is of the kind {error['kind']!r:.40}; allowed: unsupported, exception"
    if not isinstance(error.get("traceback"), str | None):
        return "its error's traceback is not text"
    return None
