"""What running a case gives: accuracy, parity, latency, and what is needed to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases.case import Case
from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading

KEPT_ROW_ELEMENTS = 4096
"""A row's prediction or label with more elements, such as a mask, is not kept: a dataset of them fills the memory."""


@dataclass(frozen=True)
class Predictions:
    """Per-sample results in row order, for samples that have one; arrays ``(n, 0)`` stand for rows too large."""

    rows: NDArray[np.int64]
    """Row numbers in the dataset, shape ``(n,)``."""
    labels: NDArray[Any]
    """Expected results, shape ``(n, …)``."""
    predicted: NDArray[Any]
    """The predicted class, shape ``(n,)``, where the first metric's output is classes or class scores; else the
    output itself, shape ``(n, …)``."""

    def __repr__(self) -> str:
        return f"Predictions(n={len(self.rows)})"


@dataclass(frozen=True)
class FailedRows:
    """Rows that could not be read, pre-processed or predicted, and why."""

    rows: tuple[int, ...]
    message: str


@dataclass(frozen=True)
class InputShift:
    """How far a pre-processing variant moves the input tensors from the stated recipe's, over all rows."""

    mean_abs: float
    max_abs: float
    shape_differs: bool = False


def _metric_text(metric: MetricValue) -> str:
    interval = "" if metric.interval is None else f" (95 %: {metric.interval[0]:.4f}–{metric.interval[1]:.4f})"
    return f"{metric.value:.4f}{interval}"


@dataclass(frozen=True)
class Accuracy:
    """Metrics over a dataset. ``accuracy["top1"]`` is that metric's value."""

    metrics: Mapping[str, MetricValue]
    n: int
    """Rows asked for, errors included: the denominator."""
    errors: int
    failures: Sequence[FailedRows]
    predictions: Predictions
    seconds: float
    """Wall time from the first batch sent to the last one scored."""
    input_shift: InputShift | None = None
    self_difference: float | None = None
    """Largest difference of two predictions of the same first rows, where it is beyond the precision's tolerance: the
    metrics are those of one draw. ``None`` where the model gives the same twice."""
    row_values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Metric to one float64 for each of :attr:`predictions`' rows; metrics without such values are absent."""

    def __repr__(self) -> str:
        facts = [f"{name}={_metric_text(metric)}" for name, metric in self.metrics.items()]
        return f"Accuracy({', '.join([*facts, f'n={self.n}', f'errors={self.errors}'])})"

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric].value

    @property
    def samples_per_second(self) -> float:
        return self.n / self.seconds


@dataclass(frozen=True)
class OutputParity:
    """One output against the reference's."""

    name: str
    """As the manifest names it."""
    max_abs: float | None
    """As :attr:`Parity.max_abs`."""
    max_rel: float | None
    """As :attr:`Parity.max_rel`."""
    cosine: float | None
    psnr: float | None
    abs_tolerance: float | None
    """``None`` where an agreement stands in its place."""
    rel_tolerance: float | None
    tolerance_source: str
    """As :attr:`Parity.tolerance_source`."""
    violations: int
    """Elements outside the tolerance."""
    elements: int
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
    n: int
    max_abs: float | None
    """Largest absolute difference over all outputs; ``inf`` where one is not finite and the other is. ``None`` where
    not all outputs could be compared, or none holds numbers."""
    max_rel: float | None
    """Largest absolute difference relative to the reference's magnitude, or to the absolute tolerance where that is
    larger; ``None`` as :attr:`max_abs`."""
    top1_agreement: float | None
    """Share of rows with the same largest element in the first output; ``None`` for outputs without classes."""
    abs_tolerance: float | None
    """Of the output that is farthest from its reference; see :attr:`outputs`. ``None`` where an agreement stands in its
    place."""
    rel_tolerance: float | None
    violations: int
    """Elements with ``|a-b| > abs + rel*|b|``; of integers, booleans and text, elements that are not equal."""
    elements: int
    """Elements compared."""
    mismatch: str | None = None
    """What differs when outputs cannot be compared at all, such as their shapes."""
    cosine: float | None = None
    """Lowest cosine similarity of an output, over its elements that are finite in both; ``None`` where either is all
    zero."""
    psnr: float | None = None
    """Lowest peak signal-to-noise ratio of an output in dB, the peak being the range of the reference; ``inf`` where
    nothing differs, ``None`` where the reference is constant."""
    top5_agreement: float | None = None
    """Mean share of a row's five largest elements that are among the reference's five, in the first output; ``None``
    where it has not more than five classes."""
    tolerance_source: str = "default"
    """``manifest``, ``measured``, ``default``, or of both parts: ``manifest and measured``; ``exact`` of integers,
    booleans and text; ``agreement`` where the manifest states one in place of a tolerance."""
    outputs: Sequence[OutputParity] = ()
    """Each output by itself."""
    nan: int = 0
    """Elements that are NaN in the case's outputs alone."""
    reference_nan: int = 0
    """Elements that are NaN in the reference's outputs alone."""
    both_nan: int = 0
    """Elements that are NaN in both: violations unless the manifest states ``equal_nan``."""
    self_difference: float | None = None
    """How far the model was from itself when it predicted some rows twice; ``None`` where that is within the tolerance,
    or was not tried because nothing violates it."""

    def __repr__(self) -> str:
        beyond = self.mismatch or f"{self.violations} of {self.elements} elements beyond tolerance"
        largest = "None" if self.max_abs is None else f"{self.max_abs:.3g}"
        return f"Parity(reference={self.reference!r}, max_abs={largest}, {beyond}, n={self.n})"

    @property
    def within_tolerance(self) -> bool:
        return self.mismatch is None and self.violations == 0


@dataclass(frozen=True)
class RateTrial:
    """One rate that the search for the highest one tried."""

    qps: float
    """Queries a second asked for."""
    confirming: bool
    """Whether it was a whole run, to confirm the rate, and not a short trial."""
    queries: int
    latency: float | None
    """Seconds at the bound's percentile; ``None`` where it is that of a query without an answer."""
    unanswered: int
    met: bool
    """Whether the rate was kept and the bound met."""


@dataclass(frozen=True)
class ServerRun:
    """What became of queries that arrived by themselves. Times in seconds."""

    qps: float
    """Rate of the Poisson process; the one found, where it was searched."""
    scheduled_qps: float
    """What the arrivals drawn came to."""
    achieved_qps: float
    """Answers a second until the last one."""
    queries: int
    unanswered: int
    """Queries that still waited at the time limit."""
    kept: bool
    """Whether every query was answered and the queue did not grow."""
    percentile: float
    latency_bound: float | None
    """What the latency at ``percentile`` was not to exceed; ``None`` without a bound."""
    latency: float | None
    """At ``percentile``; ``None`` where too few queries were answered to tell."""
    queued: Mapping[str, float | None]
    """Percentiles, as of the latency, of the time from a query's arrival until its prediction began."""
    arrival_error: float | None
    """99th percentile of how late an arrival was noticed with nothing under way: the error of the load itself; ``None``
    where too few were."""
    batch_sizes: tuple[int, ...]
    """Sizes that were bound."""
    mean_batch: float
    """Queries answered by a prediction."""
    seed: int
    trials: tuple[RateTrial, ...] = field(default=(), repr=False)
    """Of the search, in order, this run the last; empty where the rate was given."""
    budget_ended: float | None = None
    """The search's budget in seconds, where it ended before a rate was confirmed."""

    @property
    def met(self) -> bool:
        """Whether the rate was kept and the bound, where there is one, met."""
        within = self.latency_bound is None or (self.latency is not None and self.latency <= self.latency_bound)
        return self.kept and within


@dataclass(frozen=True)
class ProcessLatency:
    """What one of several processes measured. Times in seconds."""

    median: float
    relative_error: float | None
    """Of the median, within this process."""
    n: int
    """Timed calls."""
    stop_reason: str
    load_seconds: float
    peak_memory: int | None


@dataclass(frozen=True)
class Restarts:
    """A latency measured in several fresh processes, in the order measured."""

    processes: Sequence[ProcessLatency] = field(repr=False)
    shown: int
    """Index of the process whose window the latency is: the one with the middle median, the faster of two."""

    @property
    def medians(self) -> NDArray[np.float64]:
        """Seconds, shape ``(processes,)``."""
        return np.array([process.median for process in self.processes])

    @property
    def fastest(self) -> float:
        return float(self.medians.min())

    @property
    def slowest(self) -> float:
        return float(self.medians.max())

    @property
    def spread(self) -> float | None:
        """Standard deviation between processes, relative to their median, by 1.4826 times the median absolute
        deviation: one process that is slow for its whole life does not move it. ``None`` for fewer than three.
        """
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

    samples_ns: NDArray[np.int64]
    """One entry a timed call (``single_stream``), query (``multi_stream``, ``server``) or queue (``offline``), in the
    order measured; a ``server`` query's counts from its scheduled arrival."""
    batch_size: int
    percentiles: Mapping[str, float | None]
    """``p50`` … ``p99.9`` in seconds; ``None`` where the sample is too small to support one."""
    relative_error: float | None
    """Half-width of the median's 95 % confidence interval relative to the median."""
    throughput: float
    """Samples (not batches) a second over the measured window."""
    stop_reason: str
    """``steady`` or ``budget``; ``duration`` or ``time_limit`` for ``server``."""
    warmup_calls: int
    warmup_seconds: float
    warmup_reason: str
    window_seconds: float
    call_path: str
    load_seconds: float
    peak_memory: int | None
    """Bytes, the host's peak resident memory from the start of the warm-up to the end of the window."""
    warnings: tuple[str, ...] = ()
    """What casts doubt on the numbers, a line each."""
    restarts: Restarts | None = None
    """The processes it was measured in, where it was more than one."""
    rows_per_query: int = 1
    """Rows whose prediction is one entry of ``samples_ns``."""
    server: ServerRun | None = None
    """Only in the ``server`` scenario."""

    def __repr__(self) -> str:
        p50 = self.p50
        shown = "unknown" if p50 is None else f"{p50:.4g} s"
        error = "" if self.relative_error is None else f" ± {self.relative_error:.2%}"
        rate = "" if self.server is None else f", qps={self.server.qps:.4g}"
        return f"Latency(p50={shown}{error}, n={len(self.samples_ns)}{rate})"

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
    kind: str
    """The framework's own word for its type, such as ``Conv``."""
    seconds: float | None
    """Median over the profiled runs, or their mean where the profiler keeps no more; ``None`` where it does not say."""
    shape: tuple[int, ...] | None
    """Shape of the first output; ``None`` where unknown."""
    memory: int | None
    """Bytes, as the framework counts them; ``None`` where unknown."""


@dataclass(frozen=True)
class LayerProfile:
    """A model's layers in order of execution, by the framework's own profiler."""

    layers: Sequence[ProfiledLayer] = field(repr=False)
    runs: int
    """Predictions that were profiled."""
    unprofiled_median: float | None
    """Seconds of one prediction on the timed call path, without the profiler, measured just before."""
    not_available: str | None = None
    """Why there are no layers; ``None`` where there are."""

    @property
    def seconds(self) -> float | None:
        """Sum over the layers that have a time; ``None`` where none has."""
        known = [layer.seconds for layer in self.layers if layer.seconds is not None]
        return sum(known) if known else None

    @property
    def explained(self) -> float | None:
        """``seconds`` relative to the unprofiled median: what the profile explains. A profiler slows down, and layers
        may run side by side, so it may be above 1.
        """
        seconds = self.seconds
        return seconds / self.unprofiled_median if seconds is not None and self.unprofiled_median else None


@dataclass(frozen=True)
class Evaluation:
    """What one case gave. Parts that were not evaluated are ``None``."""

    case: Case
    key: str
    """Hash of everything that can change the result."""
    provenance: Mapping[str, Any]
    """What is needed to repeat it; see the JSON report's documentation."""
    accuracy: Accuracy | None = None
    parity: Parity | None = None
    latency: Latency | None = None
    layers: LayerProfile | None = None
    """Only where it was asked for: ``--mlscope-layers``, ``evaluate(layers=True)``."""
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)
    """Profiler name to what it saw in the measured window."""

    def __repr__(self) -> str:
        parts = (self.accuracy, self.parity, self.latency, self.layers)
        lines = "".join(f",\n  {part!r}" for part in parts if part is not None)
        return f"Evaluation({self.case.manifest.content.name} {self.case.id or self.case.framework}{lines})"
