"""The server scenario: queries arrive as a Poisson process at a given rate, or at the highest that meets a bound.

Source: MLPerf Inference Rules, "Server" scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.hosts.timing_replies import Served
from pytest_mlscope.manifest.schema import ServerScenario
from pytest_mlscope.measurements.latency.doubts import Doubt, counter_doubts, warm_up_doubts
from pytest_mlscope.measurements.latency.rate_search import RateSearch, search_rate
from pytest_mlscope.measurements.latency.timed_path import check_timed_path
from pytest_mlscope.measurements.results import Latency, RateTrial, ServerRun
from pytest_mlscope.statistics.percentiles import (
    median_relative_error,
    minimum_samples,
    percentile_of,
    supported_percentiles,
)

ARRIVALS_SHARE = 0.9
"""Of the time limit, queries arrive at most for so long: the last ones need time to be answered."""
DRAIN_SHARE = 0.05
DRAIN_PREDICTIONS = 10
"""A queue has grown when the last answer comes later after the last arrival than this share of the window and than so
many predictions last."""
SPARE_DEVIATIONS = 4
"""How many arrive is chance: the window is made for so many standard deviations more than are needed."""
TRIAL_SHARE = 0.25
"""Of a confirming run's length, what a trial of the search lasts."""


@dataclass(frozen=True)
class _Attempt:
    """Queries at one rate."""

    qps: float
    confirming: bool
    served: Served
    kept: bool
    met: bool
    latency: float | None

    @property
    def trial(self) -> RateTrial:
        return RateTrial(
            qps=self.qps,
            confirming=self.confirming,
            queries=self.served.queries,
            latency=self.latency,
            unanswered=self.served.unanswered,
            met=self.met,
        )


def arrival_seconds(settings: ServerScenario, qps: float) -> float:
    """How long queries arrive: ``duration``, or what the percentile needs where that is longer, within the limit."""
    queries = minimum_samples(settings.percentile)
    needed = queries + SPARE_DEVIATIONS * math.sqrt(queries)
    return min(max(settings.duration, needed / qps), ARRIVALS_SHARE * settings.time_limit)


class _Server:
    """A model bound at every batch size and warm."""

    def __init__(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> None:
        self._model = model
        self.settings = model.plan.scenarios.server
        self.opened = model.host.open_server(
            inputs,
            batch_size=model.case.batch_size,
            dynamic=not model.pads,
            warmup_budget=model.plan.measurement.warmup_budget,
            timeout=model.remaining(),
        )
        self.doubts = check_timed_path(model, self.opened.timed_path)

    @property
    def capacity(self) -> float:
        """Queries a second with predictions back to back."""
        sizes = zip(self.opened.sizes, self.opened.call_seconds, strict=True)
        # A call that ends between two ticks of the clock reads 0.
        return max(float(size / max(seconds, 1e-7)) for size, seconds in sizes)

    def attempt(self, qps: float, confirming: bool) -> _Attempt:
        """Let queries arrive. A trial's percentile is taken of as many queries as there are."""
        settings = self.settings
        seconds = arrival_seconds(settings, qps) * (1.0 if confirming else TRIAL_SHARE)
        limit = settings.time_limit if confirming else min(4 * seconds, settings.time_limit)
        model = self._model
        served = model.host.serve(qps=qps, seconds=seconds, seed=settings.seed, limit=limit, timeout=model.remaining())
        latency = percentile_of(
            served.samples_ns,
            settings.percentile,
            unanswered=served.unanswered,
            at_least=None if confirming else 1,
        )
        last = served.last_arrival_seconds
        drain = max(DRAIN_SHARE * last, DRAIN_PREDICTIONS * max(self.opened.call_seconds))
        kept = served.unanswered == 0 and served.window_seconds - last <= drain
        bound = settings.latency_bound
        return _Attempt(
            qps=qps,
            confirming=confirming,
            served=served,
            kept=kept,
            met=kept and (bound is None or (latency is not None and latency <= bound)),
            latency=latency,
        )


def serve_arrivals(model: ReadyModel, inputs: Mapping[str, NDArray[Any]], scheduled_ns: NDArray[np.int64]) -> Served:
    """Serve queries that arrive when they are told to.

    :param inputs: ``batch_size`` rows.
    :param scheduled_ns: int64, ascending, shape ``(n,)``.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises MlscopeError: when the time limit leaves some of them unanswered.
    """
    server = _Server(model, inputs)
    limit = server.settings.time_limit
    served = model.host.serve_scheduled(scheduled_ns, limit=limit, timeout=model.remaining())
    if served.unanswered:
        raise MlscopeError(
            f"{model.case.id}: {served.unanswered:,} of {served.queries:,} queries were not answered within "
            f"{limit:g} s; try a lower rate"
        )
    return served


def measure_server(model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> tuple[Latency, list[Doubt]]:
    """Serve queries at the manifest's rate or, where it states none, at the highest one that meets its bound.

    :param inputs: ``batch_size`` rows.
    :raises HostError: when the framework fails, or the timed path does not predict.
    """
    server = _Server(model, inputs)
    settings = server.settings
    search: RateSearch[_Attempt] | None = None
    if settings.target_qps is not None:
        run = server.attempt(settings.target_qps, True)
    else:
        search = search_rate(
            server.attempt,
            capacity=server.capacity,
            budget=settings.search_budget,
            run_seconds=partial(arrival_seconds, settings),
        )
        run = search.found
    latency = _latency(model, server, run, search)
    return latency, [*server.doubts, *warm_up_doubts(server.opened), *counter_doubts(run.served.sensors)]


def _latency(model: ReadyModel, server: _Server, run: _Attempt, search: RateSearch[_Attempt] | None) -> Latency:
    opened, settings, served = server.opened, server.settings, run.served
    samples = served.samples_ns
    answered = len(samples)
    achieved = answered / served.window_seconds if served.window_seconds else 0.0
    sizes = served.batch_sizes
    return Latency(
        samples_ns=samples,
        batch_size=model.case.batch_size,
        percentiles=supported_percentiles(samples, unanswered=served.unanswered),
        relative_error=median_relative_error(samples) if answered and not served.unanswered else None,
        throughput=achieved,
        stop_reason="time_limit" if served.unanswered else "duration",
        warmup_calls=opened.warmup_calls,
        warmup_seconds=opened.warmup_seconds,
        warmup_reason=opened.warmup_reason,
        window_seconds=served.window_seconds,
        call_path=opened.call_path,
        load_seconds=model.load_seconds,
        peak_memory=served.peak_memory,
        server=ServerRun(
            qps=run.qps,
            scheduled_qps=served.queries / served.last_arrival_seconds if served.last_arrival_seconds else run.qps,
            achieved_qps=achieved,
            queries=served.queries,
            unanswered=served.unanswered,
            kept=run.kept,
            percentile=settings.percentile,
            latency_bound=settings.latency_bound,
            latency=run.latency,
            queued=supported_percentiles(served.queued_ns, unanswered=served.unanswered),
            arrival_error=percentile_of(served.noticed_late_ns, 99.0),
            batch_sizes=tuple(opened.sizes),
            mean_batch=float(sizes.mean()) if len(sizes) else 0.0,
            seed=settings.seed,
            trials=() if search is None else tuple(attempt.trial for attempt in search.attempts),
            budget_ended=settings.search_budget if search is not None and search.out_of_time else None,
        ),
    )
