"""The server scenario: queries arrive as a Poisson process at a given rate, or at the highest that meets a bound.

Source: MLPerf Inference Rules, "Server" scenario.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from pytest_mlscope.cases import Plan
from pytest_mlscope.columns import Column
from pytest_mlscope.components import Check
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts import ReadyModel, Served
from pytest_mlscope.manifest import Duration
from pytest_mlscope.measurements.latency.doubts import counter_doubts, warm_up_doubts
from pytest_mlscope.measurements.latency.rate_search import RateSearch, search_rate
from pytest_mlscope.measurements.latency.result import Latency, RateTrial, ServerRun
from pytest_mlscope.measurements.latency.server_checks import server_checks
from pytest_mlscope.measurements.latency.server_columns import server_columns, server_notes
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.timed import Timed
from pytest_mlscope.measurements.latency.timed_path import check_timed_path
from pytest_mlscope.statistics import (
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
SAME_RATE = 0.01
"""Relative difference up to which two rates of queries are one."""
SPARE_DEVIATIONS = 4
"""How many arrive is chance: the window is made for so many standard deviations more than are needed."""
TRIAL_SHARE = 0.25
"""Of a confirming run's length, what a trial of the search lasts."""


_TOO_SHORT = "time_limit is below duration; allowed: duration or more"


class Server(ShownScenario):
    """Queries of one row arrive as a Poisson process, whether or not the model keeps up, and those that wait together
    are predicted together, up to the case's batch size."""

    name = "server"
    sample = "query"
    # What two runs must share is the rate, given or found: see `incomparable`.
    free = frozenset({"target_qps", "latency_bound", "percentile", "duration", "time_limit", "search_budget", "seed"})

    target_qps: float | None = Field(default=None, gt=0, le=1e7)
    """Queries a second; when absent, the highest rate that meets ``latency_bound`` is searched."""
    latency_bound: Duration | None = None
    """What the latency at ``percentile`` must not exceed, from a query's scheduled arrival, such as ``10 ms``."""
    percentile: float = Field(default=99.0, ge=50, lt=100)
    """Which percentile of the latency ``latency_bound`` holds for."""
    duration: Duration = 2.0
    """How long queries arrive; longer where ``percentile`` takes more of them, but for nine tenths of ``time_limit``
    at most."""
    time_limit: Duration = 20.0
    """When queries that still wait are left unanswered."""
    search_budget: Duration = 20.0
    """Longest search for the highest rate; up to two confirming runs may end beyond it."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the arrivals."""

    @field_validator("time_limit")
    @classmethod
    def _is_not_below_duration(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("duration", 0.0):
            raise ValueError(_TOO_SHORT)
        return value

    @model_validator(mode="after")
    def _is_long_enough(self) -> Server:
        # A default is not validated by itself.
        if self.time_limit < self.duration:
            raise ValueError(_TOO_SHORT)
        return self

    def lacking(self) -> str | None:
        if self.target_qps is not None or self.latency_bound is not None:
            return None
        return "scenarios.server.target_qps, or scenarios.server.latency_bound for the highest rate that meets it"

    def checks(self, latency: Latency) -> Iterable[Check]:
        return server_checks(latency.server) if latency.server else ()

    def incomparable(self, then: Latency, now: Latency) -> str | None:
        # Each run may have searched its own rate.
        was, is_now = (each.server.qps if each.server else None for each in (then, now))
        if not was or not is_now or abs(math.log(is_now / was)) <= SAME_RATE:
            return None
        return f"{was:.4g} queries a second then and {is_now:.4g} now, so their latencies do not compare"

    def pace(self, latency: Latency) -> tuple[str, float | None]:
        qps = latency.server.qps if latency.server else 0.0
        return "scenarios.server.duration", 1 / qps if qps > 0 else None

    @classmethod
    def columns(cls, latencies: Sequence[Latency]) -> Sequence[Column]:
        return server_columns(latencies)

    @classmethod
    def notes(cls, latencies: Sequence[Latency]) -> Sequence[str]:
        return server_notes(latencies)

    @classmethod
    def bounded(cls, latencies: Sequence[Latency]) -> set[str]:
        return {f"p{run.percentile:g}" for each in latencies if (run := each.server) and run.latency_bound is not None}

    def measure(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
        """Serve queries at the manifest's rate or, where it states none, at the highest one that meets its bound.

        :param inputs: ``batch_size`` rows.
        :raises HostError: when the framework fails, or the timed path does not predict.
        """
        server = _Server(model, inputs, self)
        search: RateSearch[_Attempt] | None = None
        if self.target_qps is not None:
            run = server.attempt(self.target_qps, True)
        else:
            search = search_rate(
                server.attempt,
                capacity=server.capacity,
                budget=self.search_budget,
                run_seconds=partial(arrival_seconds, self),
            )
            run = search.found
        # Of the run that counts alone: what disturbed an earlier trial is not in the figures.
        doubts = [*server.doubts, *warm_up_doubts(server.opened), *counter_doubts(run.served.sensors)]
        return Timed(_latency(model, server, run, search), doubts)


def server_of(plan: Plan) -> Server:
    """The plan's settings of ``server``.

    :raises MlscopeError: where a plugin has another scenario of that name.
    """
    server = plan.scenarios["server"]
    if not isinstance(server, Server):
        raise MlscopeError(f"{plan.case.manifest}: a plugin's scenario stands in place of server")
    return server


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


def arrival_seconds(settings: Server, qps: float) -> float:
    """How long queries arrive: ``duration``, or what the percentile needs where that is longer, within the limit."""
    # So many by the rule for percentiles, else the bound could be met by too few queries to say so.
    queries = minimum_samples(settings.percentile)
    needed = queries + SPARE_DEVIATIONS * math.sqrt(queries)
    return min(max(settings.duration, needed / qps), ARRIVALS_SHARE * settings.time_limit)


class _Server:
    """A model bound at every batch size and warm."""

    def __init__(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]], settings: Server) -> None:
        self._model = model
        self.settings = settings
        self.opened = model.host.open_server(
            inputs,
            batch_size=model.case.batch_size,
            dynamic=not model.pads,
            warmup_budget=model.plan.measurement.warmup_budget,
            timeout=model.deadline,
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
        # A trial at a rate far too high need not wait until the time limit to show it.
        limit = settings.time_limit if confirming else min(4 * seconds, settings.time_limit)
        model = self._model
        served = model.host.serve(qps=qps, seconds=seconds, seed=settings.seed, limit=limit, timeout=model.deadline)
        latency = percentile_of(
            served.samples_ns,
            settings.percentile,
            unanswered=served.unanswered,
            at_least=None if confirming else 1,
        )
        last = served.last_arrival_seconds
        drain = max(DRAIN_SHARE * last, DRAIN_PREDICTIONS * max(self.opened.call_seconds))
        # A rate that makes a queue grow meets a bound only as long as the run is short.
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
    server = _Server(model, inputs, server_of(model.plan))
    limit = server.settings.time_limit
    served = model.host.serve_scheduled(scheduled_ns, limit=limit, timeout=model.deadline)
    if served.unanswered:
        raise MlscopeError(
            f"{model.case.id}: {served.unanswered:,} of {served.queries:,} queries were not answered within "
            f"{limit:g} s; try a lower rate"
        )
    return served


def _latency(model: ReadyModel, server: _Server, run: _Attempt, search: RateSearch[_Attempt] | None) -> Latency:
    opened, settings, served = server.opened, server.settings, run.served
    samples = served.samples_ns
    answered = len(samples)
    # By what was answered: the rate that was asked for is no throughput.
    achieved = answered / served.window_seconds if served.window_seconds else 0.0
    sizes = served.batch_sizes
    return Latency(
        samples_ns=samples,
        batch_size=model.case.batch_size,
        sample=Server.sample,
        percentiles=supported_percentiles(samples, unanswered=served.unanswered),
        # Of answered queries alone it would be too narrow: those without an answer were the slowest.
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
