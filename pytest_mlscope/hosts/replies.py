"""What a predictor host's replies hold: see ``docs/host-protocol.md``. Those of timing are in ``timing_replies``."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import Strict, StrictBool, StrictStr
from pydantic.dataclasses import dataclass

from pytest_mlscope.hosts.reply_reading import Arrays, Count, Number


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
        # A slice of it would be empty, and its rows be counted as predicted.
        if self.start > self.stop:
            raise ValueError("a batch ends before it starts")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Outputs by the framework's names, and the batches without any."""

    tensors: Arrays
    """In place: they hold until ``DEPTH`` further requests were sent."""
    errors: tuple[FailedBatch, ...]
    seconds: Number
    parts: tuple[tuple[Count, Count], ...] | None = None
    """First row, and the one past the last, of rows whose outputs have one shape, which are called ``I:NAME`` then;
    ``None`` where those of all rows have."""

    def part(self, number: int) -> Arrays:
        """The outputs of a part, by the framework's names."""
        prefix = f"{number}:"
        return {name[len(prefix) :]: array for name, array in self.tensors.items() if name.startswith(prefix)}

    def wrong_rows(self, rows: int) -> str | None:
        """What is not of the rows that were asked for, in words; ``None`` where all is."""
        if any(error.stop > rows for error in self.errors):
            return f"its 'errors' name other rows than the {rows} of the request"
        spans = ((0, rows),) if self.parts is None else self.parts
        past = 0
        for start, stop in spans:
            if not past <= start < stop <= rows:
                return f"its 'parts' are not ascending rows of the {rows} of the request"
            past = stop
        for number, (start, stop) in enumerate(spans):
            prefix = "" if self.parts is None else f"{number}:"
            for name, array in self.tensors.items():
                if name.startswith(prefix) and (array.ndim == 0 or len(array) != stop - start):
                    return f"its tensor {name!r} has shape {list(array.shape)} for {stop - start} rows"
        return None


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

    tensors: Arrays
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
