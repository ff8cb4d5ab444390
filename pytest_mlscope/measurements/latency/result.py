"""What latency gives: the window of one process, and what is said of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import Reading
from pytest_mlscope.record_fields import (
    Bytes,
    Count,
    Finite,
    FiniteRate,
    FiniteSeconds,
    Least,
    Positive,
    Rate,
    Seconds,
    Unit,
    derived,
)


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
