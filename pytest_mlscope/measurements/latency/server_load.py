"""A bound and warm model under queries that arrive by themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pytest_mlscope.hosts import ReadyModel, Served
from pytest_mlscope.measurements.latency.rate_search import RateSearch
from pytest_mlscope.measurements.latency.result import Latency, RateTrial, ServerRun
from pytest_mlscope.measurements.latency.timed_path import check_timed_path
from pytest_mlscope.statistics import median_relative_error, minimum_samples, percentile_of, supported_percentiles

if TYPE_CHECKING:
    from pytest_mlscope.measurements.latency.server import Server

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
class Attempt:
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


class ServedModel:
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

    def attempt(self, qps: float, confirming: bool) -> Attempt:
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
        return Attempt(
            qps=qps,
            confirming=confirming,
            served=served,
            kept=kept,
            met=kept and (bound is None or (latency is not None and latency <= bound)),
            latency=latency,
        )


def latency_of(model: ReadyModel, server: ServedModel, run: Attempt, search: RateSearch[Attempt] | None) -> Latency:
    opened, settings, served = server.opened, server.settings, run.served
    samples = served.samples_ns
    answered = len(samples)
    # By what was answered: the rate that was asked for is no throughput.
    achieved = answered / served.window_seconds if served.window_seconds else 0.0
    sizes = served.batch_sizes
    return Latency(
        samples_ns=samples,
        batch_size=model.case.batch_size,
        sample=settings.sample,
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
