"""What running a case gives: accuracy, parity, latency, and what is needed to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.components import MetricValue, Reading
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.record_fields import (
    Bytes,
    Count,
    Finite,
    FiniteRate,
    FiniteSeconds,
    Least,
    Mark,
    Positive,
    Rate,
    Seconds,
    Unit,
    derived,
)

KEPT_ROW_ELEMENTS = 4096
"""A row's prediction or label with more elements, such as a mask, is not kept: a dataset of them fills the memory."""


@dataclass(frozen=True)
class Predictions:
    """Results in row order, of rows that have one; arrays ``(n, 0)`` stand for rows too large."""

    rows: Annotated[NDArray[np.int64], Mark.OMISSIBLE]
    """Row numbers in the dataset, shape ``(n,)``."""
    labels: Annotated[NDArray[Any], Mark.OMISSIBLE]
    """Expected result of each row, shape ``(n, …)``."""
    predicted: Annotated[NDArray[Any], Mark.OMISSIBLE]
    """The predicted class of each row, shape ``(n,)``, where the first metric's output is classes or class scores; else
    the output itself, shape ``(n, …)``."""
    omitted: str | None = None
    """What was left out because of its size, and the limit; ``None`` where everything is kept."""

    def __repr__(self) -> str:
        return f"Predictions(n={len(self.rows)})"


@dataclass(frozen=True)
class FailedRows:
    """Rows with the same error."""

    rows: tuple[int, ...]
    """Row numbers."""
    message: str
    """What went wrong."""


@dataclass(frozen=True)
class InputShift:
    """How far a pre-processing variant moves the input tensors from the stated recipe's, over all rows."""

    mean_abs: float
    """Mean absolute difference."""
    max_abs: float
    """Largest absolute difference."""
    shape_differs: bool = False
    """Whether the tensors' shapes differ, so that no difference exists."""


def _metric_text(metric: MetricValue) -> str:
    interval = "" if metric.interval is None else f" (95%: {metric.interval[0]:.4f}–{metric.interval[1]:.4f})"
    return f"{metric.value:.4f}{interval}"


@dataclass(frozen=True)
class Accuracy:
    """Metrics over a dataset. ``accuracy["top1"]`` is that metric's value."""

    metrics: Mapping[str, MetricValue]
    """Metric name to its value."""
    n: Count
    """Rows asked for, errors included: the denominator."""
    errors: Count
    """Rows that could not be read, pre-processed or predicted."""
    failures: Sequence[FailedRows]
    """Why rows are errors."""
    predictions: Predictions
    """Results in row order."""
    seconds: Seconds | None
    """Wall time from the first batch sent to the last one scored; ``None`` under emulation."""
    input_shift: InputShift | None = None
    """How far a pre-processing variant moves the input tensors from the stated one's; ``None`` for the stated one."""
    self_difference: float | None = None
    """Largest difference of two predictions of the same first rows, where it is beyond the precision's tolerance: the
    metrics are those of one draw. ``None`` where the model gives the same twice."""
    row_values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric name to its value of each row of ``predictions.rows``: two runs are compared by them. Metrics that are no
    mean of such values, and those of very many rows, are absent."""

    def __repr__(self) -> str:
        facts = [f"{name}={_metric_text(metric)}" for name, metric in self.metrics.items()]
        return f"Accuracy({', '.join([*facts, f'n={self.n}', f'errors={self.errors}'])})"

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric].value

    @property
    @derived
    def samples_per_second(self) -> Rate | None:
        """``n`` over ``seconds``."""
        return self.n / self.seconds if self.seconds else None


@dataclass(frozen=True)
class OutputParity:
    """One output against the reference's."""

    name: str
    """The output's name in the manifest."""
    max_abs: float | None
    """Largest absolute difference; ``None`` where it cannot be compared, or holds no numbers."""
    max_rel: float | None
    """Largest relative difference, as of all outputs."""
    cosine: float | None
    """Cosine similarity, over the elements that are finite in both; ``None`` where either is all zero."""
    psnr: Annotated[float, Unit("dB")] | None
    """Peak signal-to-noise ratio, the peak being the range of the reference."""
    abs_tolerance: float | None
    """Absolute tolerance; ``None`` where an agreement stands in its place."""
    rel_tolerance: float | None
    """Relative tolerance."""
    tolerance_source: str
    """Where the tolerance comes from, as of all outputs."""
    violations: Count
    """Elements outside the tolerance."""
    elements: Count
    """Elements compared."""

    @property
    def bounded(self) -> bool:
        """Whether its elements have a tolerance."""
        return self.tolerance_source != "agreement"


@dataclass(frozen=True)
class Parity:
    """Raw outputs against the reference framework's, on the same pre-processed inputs."""

    reference: str
    """Framework, version and precision of the reference, readable."""
    n: Count
    """Rows compared."""
    max_abs: float | None
    """Largest absolute difference over all outputs, infinite where one is not finite and the other is; ``None`` where
    not all outputs could be compared, or none holds numbers."""
    max_rel: float | None
    """Largest difference relative to the reference's magnitude, or to the absolute tolerance where that is larger;
    ``None`` where none is known."""
    top1_agreement: float | None
    """Share of rows with the same largest element in the first output; ``None`` for outputs without classes."""
    abs_tolerance: float | None
    """Absolute tolerance of the output that is farthest from its reference; ``None`` where an agreement stands in its
    place."""
    rel_tolerance: float | None
    """Relative tolerance of the same output."""
    violations: Count
    """Elements with ``|a-b| > abs + rel*|b|``; of integers, booleans and text, elements that are not equal."""
    elements: Count
    """Elements compared."""
    mismatch: str | None = None
    """What differs when outputs cannot be compared at all, such as their shapes."""
    cosine: float | None = None
    """Lowest cosine similarity of an output, over its elements that are finite in both; ``None`` where either is all
    zero."""
    psnr: Annotated[float, Unit("dB")] | None = None
    """Lowest peak signal-to-noise ratio of an output, the peak being the range of the reference; infinite where nothing
    differs, ``None`` where the reference is constant."""
    top5_agreement: float | None = None
    """Mean share of a row's five largest elements that are among the reference's five, in the first output; ``None``
    where it has not more than five classes."""
    tolerance_source: str = "default"
    """Where the tolerance comes from: ``manifest``, ``measured`` (this model's own noise on this machine), ``default``
    (that of the precision), or of its two parts, such as ``manifest and measured``; ``exact`` of integers, booleans and
    text; ``agreement`` where the manifest states one in place of a tolerance."""
    outputs: Sequence[OutputParity] = ()
    """Each output by itself."""
    nan: Count = 0
    """Elements that are NaN in the case's outputs alone."""
    reference_nan: Count = 0
    """Elements that are NaN in the reference's outputs alone."""
    both_nan: Count = 0
    """Elements that are NaN in both: violations unless the manifest states ``equal_nan``."""
    self_difference: float | None = None
    """How far the model was from itself when it predicted some rows twice; ``None`` where that is within the tolerance,
    or was not tried because nothing violates it."""

    def __repr__(self) -> str:
        beyond = self.mismatch or f"{self.violations} of {self.elements} elements beyond tolerance"
        largest = "None" if self.max_abs is None else f"{self.max_abs:.3g}"
        return f"Parity(reference={self.reference!r}, max_abs={largest}, {beyond}, n={self.n})"

    @property
    @derived
    def within_tolerance(self) -> bool:
        """Whether the outputs could be compared and no element violates the tolerance."""
        return self.mismatch is None and self.violations == 0


@dataclass(frozen=True)
class RateTrial:
    """One rate that the search for the highest one tried."""

    qps: FiniteRate
    """Queries a second asked for."""
    confirming: bool
    """Whether it was a whole run, to confirm the rate, and not a short trial."""
    queries: Positive
    """Queries that arrived."""
    latency: Seconds | None
    """At the bound's percentile; ``None`` where it is that of a query without an answer."""
    unanswered: Count
    """Queries without an answer."""
    met: bool
    """Whether the rate was kept and the bound met."""


@dataclass(frozen=True)
class ServerRun:
    """What became of queries that arrived by themselves. Times in seconds."""

    qps: Annotated[FiniteRate, Least(0, above=True)]
    """Rate of the Poisson process; the one found, where it was searched."""
    scheduled_qps: FiniteRate
    """What the arrivals drawn came to."""
    achieved_qps: Annotated[FiniteRate, Least(0)]
    """Answers a second until the last one."""
    queries: Positive
    """Queries that arrived."""
    unanswered: Count
    """Queries that still waited at the time limit."""
    kept: bool
    """Whether every query was answered and the queue did not grow."""
    percentile: Finite
    """Percentile that the latency bound holds for."""
    latency_bound: Seconds | None
    """What the latency at ``percentile`` was not to exceed; ``None`` without a bound."""
    latency: Seconds | None
    """At ``percentile``; ``None`` where too few queries were answered to tell."""
    queued: Mapping[str, Seconds | None]
    """Percentiles, as of the latency, of the time from a query's arrival until its prediction began."""
    arrival_error: Seconds | None
    """99th percentile of how late an arrival was noticed with nothing under way: the error of the load itself; ``None``
    where too few were."""
    batch_sizes: tuple[Positive, ...]
    """Batch sizes that were bound."""
    mean_batch: Annotated[Finite, Least(0)]
    """Queries answered by a prediction."""
    seed: int
    """Seed of the arrivals."""
    trials: tuple[RateTrial, ...] = field(default=(), repr=False)
    """Of the search, in order, this run the last; empty where the rate was given."""
    budget_ended: FiniteSeconds | None = None
    """The search's budget, where it ended before a rate was confirmed; ``None`` where it did not."""

    @property
    @derived
    def met(self) -> bool:
        """Whether the rate was kept and the bound, where there is one, met."""
        within = self.latency_bound is None or (self.latency is not None and self.latency <= self.latency_bound)
        return self.kept and within


@dataclass(frozen=True)
class ProcessLatency:
    """What one of several processes measured. Times in seconds."""

    median: Seconds
    """Median latency; infinite where it is that of a query without an answer."""
    relative_error: float | None
    """Half-width of that median's 95 % confidence interval, within this process, relative to it."""
    n: Count
    """Timed calls."""
    stop_reason: str
    """Why its window ended: ``steady`` or ``budget``."""
    load_seconds: Seconds
    """Time to load the model."""
    peak_memory: Bytes | None
    """Peak resident memory; ``None`` where not available."""


@dataclass(frozen=True)
class Restarts:
    """A latency measured in several fresh processes, in the order measured."""

    processes: Sequence[ProcessLatency] = field(repr=False)
    """Each of them."""
    shown: Count
    """Index of the process with the middle median, the faster of two: all else of the latency is its window."""

    @property
    def medians(self) -> NDArray[np.float64]:
        """Seconds, shape ``(processes,)``."""
        return np.array([process.median for process in self.processes])

    @property
    @derived
    def fastest(self) -> Seconds:
        """The smallest median."""
        return float(self.medians.min())

    @property
    @derived
    def slowest(self) -> Seconds:
        """The largest median."""
        return float(self.medians.max())

    @property
    @derived
    def spread(self) -> float | None:
        """1.4826 times the median absolute deviation of the medians, relative to their median; ``None`` for fewer than
        three processes.
        """
        # One process that is slow for its whole life does not move it, as it would a standard deviation.
        medians = self.medians
        middle = float(np.median(medians))
        if len(medians) < 3 or not 0 < middle < np.inf:
            return None
        return 1.4826 * float(np.median(np.abs(medians - middle))) / middle


@dataclass(frozen=True)
class Latency:
    """A measured window of one case; of several processes, that of the one with the middle median. Times in seconds,
    samples in nanoseconds.
    """

    samples_ns: Annotated[NDArray[np.int64], Unit("ns")]
    """One entry a timed call (``single_stream``), query (``multi_stream``, ``server``) or queue (``offline``), in the
    order measured; a ``server`` query's counts from its scheduled arrival."""
    batch_size: Positive
    """Samples in a call."""
    percentiles: Mapping[str, Seconds | None]
    """``p50``, ``p90``, ``p95``, ``p99`` and ``p99.9``; ``None`` where the sample is too small to support one, or it is
    that of a query without an answer."""
    relative_error: float | None
    """Half-width of the median's 95 % confidence interval relative to the median."""
    throughput: Rate
    """Samples, not batches, a second over the timed calls; of ``server``, over the window."""
    stop_reason: str
    """Why measuring ended: ``steady`` or ``budget``; ``duration`` or ``time_limit`` for ``server``;
    ``scenario`` where a plugin's scenario decides."""
    warmup_calls: Count
    """Calls before the window."""
    warmup_seconds: Seconds
    """Time they took."""
    warmup_reason: str
    """Why the warm-up ended."""
    window_seconds: Seconds
    """Length of the measured window."""
    call_path: str
    """The framework's function that was timed."""
    load_seconds: Seconds
    """Time to load the model."""
    peak_memory: Bytes | None
    """Peak resident memory of the predictor host, from just before inputs are bound, or from the host's start where the
    peak cannot be reset, to the end of the window; ``None`` where not available."""
    warnings: tuple[str, ...] = ()
    """What casts doubt on the numbers, a line each."""
    restarts: Restarts | None = None
    """The fresh processes it was measured in; ``None`` where it was one."""
    rows_per_query: Positive = 1
    """Rows whose prediction is one entry of ``samples_ns``."""
    sample: str = "batch"
    """What one entry of ``samples_ns`` is: ``batch``, ``query``, ``queue``, or the word of a plugin's scenario."""
    back_to_back: bool = False
    """Whether each call followed the last one at once: as calls do that are compared with a baseline's."""
    figures: Sequence[Reading] = ()
    """What else a plugin's scenario saw."""
    server: ServerRun | None = None
    """What became of queries that arrived by themselves; ``None`` in other scenarios."""
    wanted_relative_error: Annotated[Finite, Least(0, above=True)] | None = None
    """The manifest's ``measurement.relative_error``, at which measuring ends; ``None`` where it ends otherwise."""
    shapes: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    """Input to the shapes that its timed calls had, with the batch first, for inputs of which the manifest names sizes
    beside the batch: several where rows of one query or queue differ. Another shape has another latency."""

    def __repr__(self) -> str:
        p50 = self.p50
        shown = "unknown" if p50 is None else f"{p50:.4g} s"
        error = "" if self.relative_error is None else f" ± {self.relative_error:.2%}"
        rate = "" if self.server is None else f", qps={self.server.qps:.4g}"
        return f"Latency(p50={shown}{error}, n={len(self.samples_ns)}{rate})"

    @property
    @derived
    def n(self) -> Count:
        """Timed calls, or answered queries: the number of samples."""
        return len(self.samples_ns)

    @property
    def unanswered(self) -> int:
        """Queries without an answer, whose latency is beyond all others: more samples would not tell it."""
        return self.server.unanswered if self.server else 0

    def percentile(self, percent: float) -> float | None:
        """Seconds; ``None`` where the sample is too small to support it.

        :param percent: one of 50, 90, 95, 99 and 99.9.
        :raises ValueError: for another, which is not kept.
        """
        name = f"p{percent:g}"
        if name not in self.percentiles:
            raise ValueError(f"there is no {name}; there are {', '.join(self.percentiles)}")
        return self.percentiles[name]

    @property
    def p50(self) -> float | None:
        """The median, in seconds."""
        return self.percentile(50)

    @property
    def p90(self) -> float | None:
        """The 90th percentile, in seconds."""
        return self.percentile(90)

    @property
    def p95(self) -> float | None:
        """The 95th percentile, in seconds."""
        return self.percentile(95)

    @property
    def p99(self) -> float | None:
        """The 99th percentile, in seconds."""
        return self.percentile(99)

    @property
    def p99_9(self) -> float | None:
        """The 99.9th percentile, in seconds."""
        return self.percentile(99.9)


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


@dataclass(frozen=True)
class MeasuredColumn:
    """A column of the table in which a kind of measurement is shown."""

    field: str
    """The field of ``values`` that stands in it."""
    title: str
    """Its heading."""
    unit: str = ""
    """Unit of its numbers: ``s`` and ``B`` are scaled to be readable; empty for counts, shares and text."""


@dataclass(frozen=True)
class OtherMeasurement:
    """What a kind of measurement gave that a plugin or a conftest added."""

    values: Mapping[str, Any]
    """Field to its value: numbers, text, lists and objects."""
    columns: Sequence[MeasuredColumn] = ()
    """How tables show it."""


@dataclass(frozen=True)
class Evaluation:
    """What one case gave. Parts that were not evaluated are ``None``."""

    plan: Plan
    key: str
    """Hash of everything that can change the result."""
    provenance: Provenance
    """What is needed to repeat it; see the JSON report's documentation."""
    accuracy: Accuracy | None = None
    parity: Parity | None = None
    latency: Latency | None = None
    layers: LayerProfile | None = None
    """Only where it was asked for: ``--mlscope-layers``, ``EvaluationSettings(layers=True)``."""
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)
    """Profiler name to what it saw in the measured window."""
    measurements: Mapping[str, OtherMeasurement] = field(default_factory=dict)
    """What further kinds of measurement gave, by their names."""

    @property
    def case(self) -> Case:
        """The plan's case."""
        return self.plan.case

    def __repr__(self) -> str:
        parts = (self.accuracy, self.parity, self.latency, self.layers)
        lines = "".join(f",\n  {part!r}" for part in parts if part is not None)
        return f"Evaluation({self.case.model} {self.case.id or self.case.framework}{lines})"
