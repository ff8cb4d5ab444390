"""What must hold, for all cases and for some."""

from __future__ import annotations

from pydantic import Field

from pytest_mlscope.components import Precision
from pytest_mlscope.manifest.quantities import Duration, MemorySize
from pytest_mlscope.manifest.schema.matrix import CaseSelector
from pytest_mlscope.manifest.schema.section import Section


class Bound(Section):
    """An inclusive lower and upper bound."""

    min: float | None = None
    """Lower bound."""
    max: float | None = None
    """Upper bound."""


class OutputTolerance(Section):
    """How close one output must be: ``|a-b| <= abs + rel*|b|``. It holds for integers too."""

    abs: float | None = Field(default=None, ge=0)
    """Absolute tolerance; 0 when absent."""
    rel: float | None = Field(default=None, ge=0)
    """Relative tolerance; 0 when absent."""


class ParityExpectation(Section):
    """How close the raw outputs must be to the reference framework's: ``|a-b| <= abs + rel*|b|`` everywhere; integers,
    booleans and text must be equal."""

    reference: str
    """The reference framework; the others are compared with its case with the same inputs on ``cpu``. Of several
    versions the first is the reference."""
    precision: Precision = "fp32"
    """Precision of the reference: for files that hold another than ``fp32``; ``framework_default`` for what has no name
    here, such as fp64."""
    abs: float | None = Field(default=None, ge=0)
    """Absolute tolerance; measured, for each output, when absent."""
    rel: float | None = Field(default=None, ge=0)
    """Relative tolerance; measured, for each output, when absent."""
    outputs: dict[str, OutputTolerance] = Field(default_factory=dict)
    """Output name to its own tolerance."""
    top1_agreement: float | None = Field(default=None, ge=0, le=1)
    """Lowest share of rows whose largest element lies in the same place, in the first output. Without ``abs``, ``rel``
    and ``outputs`` it stands in place of a tolerance of that output's elements."""
    cosine: float | None = Field(default=None, ge=-1, le=1)
    """Lowest cosine similarity of each output of floating-point numbers or quantised scores. Without ``abs``, ``rel``
    and ``outputs`` it stands in place of a tolerance of these outputs' elements."""
    equal_nan: bool = False
    """Whether NaN in both is agreement; a failure when not."""
    rows: int = Field(default=256, gt=0, le=2**20)
    """How many of the dataset's rows are compared."""

    @property
    def bounds_agreement(self) -> bool:
        """Whether it states an agreement."""
        return self.top1_agreement is not None or self.cosine is not None

    @property
    def bounds_elements(self) -> bool:
        """Whether it states a tolerance."""
        return self.abs is not None or self.rel is not None or bool(self.outputs)


class ParityTolerance(Section):
    """How close the raw outputs of some cases must be instead."""

    max: float | None = Field(default=None, ge=0)
    """Absolute tolerance. Where an agreement is given without it, elements have no tolerance."""
    top1_agreement: float | None = Field(default=None, ge=0, le=1)
    """Lowest share of rows whose largest element lies in the same place, in the first output."""
    cosine: float | None = Field(default=None, ge=-1, le=1)
    """Lowest cosine similarity of each output."""


class LatencyExpectation(Section):
    """Upper bounds of the latency of a batch or, in the scenarios that have them, of a query: ``p50: 5 ms``."""

    p50: Duration | None = None
    """Median, as in ``5 ms``."""
    p90: Duration | None = None
    """90th percentile, as in ``5 ms``."""
    p95: Duration | None = None
    """95th percentile, as in ``5 ms``."""
    p99: Duration | None = None
    """99th percentile, as in ``5 ms``."""
    p99_9: Duration | None = Field(default=None, alias="p99.9")
    """99.9th percentile, as in ``5 ms``; the window lasts for it as long as the budget allows."""


class Expectation(Section):
    """What must hold; what is not named is measured and reported alone, save ``errors``."""

    errors: int = Field(default=0, ge=0, le=2**40)
    """How many rows may lack a prediction, because they could not be pre-processed or predicted; none by default."""

    accuracy: dict[str, Bound] = Field(default_factory=dict)
    """Metric name to bounds."""
    parity: ParityExpectation | None = None
    """How close outputs must be to another framework's."""
    latency: LatencyExpectation | None = None
    """Upper bounds of a batch's latency."""
    throughput: Bound | None = None
    """Samples per second."""
    peak_memory: MemorySize | None = None
    """Upper bound of the predictor host's peak resident memory."""
    load_time: Duration | None = None
    """Upper bound of the time to load the model."""


class ExpectationOverride(Section):
    """Bounds of their own for some cases; the last override that matches wins, key by key."""

    when: CaseSelector
    """The cases it applies to."""
    accuracy: dict[str, Bound] = Field(default_factory=dict)
    """Metric name to bounds."""
    latency: LatencyExpectation | None = None
    """Upper bounds of a batch's latency."""
    throughput: Bound | None = None
    """Samples per second."""
    peak_memory: MemorySize | None = None
    """Upper bound of the predictor host's peak resident memory."""
    load_time: Duration | None = None
    """Upper bound of the time to load the model."""
    parity: ParityTolerance | None = None
    """Tolerance of their own for raw outputs."""
