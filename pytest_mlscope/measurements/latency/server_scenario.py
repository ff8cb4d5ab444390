"""The server scenario: queries arrive as a Poisson process at a given rate, or at the highest that meets a bound.

Source: MLPerf Inference Rules, "Server" scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.process import Header
from pytest_mlscope.hosts.ready_model import ReadyModel
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
    """Queries at one rate. Tensors in ns, int64."""

    qps: float
    confirming: bool
    queries: int
    unanswered: int
    kept: bool
    met: bool
    latency: float | None
    window_seconds: float
    last_arrival_seconds: float
    peak_memory: int | None
    tensors: Mapping[str, NDArray[Any]]
    sensors: Sequence[Mapping[str, Any]]

    @property
    def trial(self) -> RateTrial:
        return RateTrial(
            qps=self.qps,
            confirming=self.confirming,
            queries=self.queries,
            latency=self.latency,
            unanswered=self.unanswered,
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
        content = model.case.manifest.content
        self.settings = content.scenarios.server
        self.opened = model.host.request(
            {
                "operation": "open_server",
                "batch_size": model.case.batch_size,
                "dynamic": not model.pads,
                "warmup_budget": content.measurement.warmup_budget,
            },
            inputs,
            timeout=model.remaining(),
            doing="warming up",
        )
        self.doubts = check_timed_path(model, model.host.tensors(self.opened))

    @property
    def capacity(self) -> float:
        """Queries a second with predictions back to back."""
        sizes = zip(self.opened["sizes"], self.opened["call_seconds"], strict=True)
        # A call that ends between two ticks of the clock reads 0.
        return max(float(size / max(seconds, 1e-7)) for size, seconds in sizes)

    def serve(
        self, arrivals: Mapping[str, Any], scheduled: Mapping[str, NDArray[np.int64]]
    ) -> tuple[Header, dict[str, NDArray[Any]]]:
        """Let queries arrive: as the host's ``serve`` takes it, to its reply and that one's tensors."""
        model = self._model
        request = {"operation": "serve", **arrivals}
        reply = model.host.request(request, scheduled, timeout=model.remaining(), doing="serving queries")
        return reply, {name: np.array(array) for name, array in model.host.tensors(reply).items()}

    def attempt(self, qps: float, confirming: bool) -> _Attempt:
        """Let queries arrive. A trial's percentile is taken of as many queries as there are."""
        settings = self.settings
        seconds = arrival_seconds(settings, qps) * (1.0 if confirming else TRIAL_SHARE)
        limit = settings.time_limit if confirming else min(4 * seconds, settings.time_limit)
        reply, tensors = self.serve({"qps": qps, "seconds": seconds, "seed": settings.seed, "limit": limit}, {})
        unanswered = reply["unanswered"]
        latency = percentile_of(
            tensors["samples_ns"],
            settings.percentile,
            unanswered=unanswered,
            at_least=None if confirming else 1,
        )
        last = reply["last_arrival_seconds"]
        drain = max(DRAIN_SHARE * last, DRAIN_PREDICTIONS * max(self.opened["call_seconds"]))
        kept = unanswered == 0 and reply["window_seconds"] - last <= drain
        bound = settings.latency_bound
        return _Attempt(
            qps=qps,
            confirming=confirming,
            queries=reply["queries"],
            unanswered=unanswered,
            kept=kept,
            met=kept and (bound is None or (latency is not None and latency <= bound)),
            latency=latency,
            window_seconds=reply["window_seconds"],
            last_arrival_seconds=last,
            peak_memory=reply["peak_memory"],
            tensors=tensors,
            sensors=reply["sensors"],
        )


def serve_arrivals(
    model: ReadyModel, inputs: Mapping[str, NDArray[Any]], scheduled_ns: NDArray[np.int64]
) -> Mapping[str, NDArray[Any]]:
    """Serve queries that arrive when they are told to.

    :param inputs: ``batch_size`` rows.
    :param scheduled_ns: int64, ascending, shape ``(n,)``.
    :return: ``samples_ns``, ``noticed_late_ns`` and what else the host says of the queries.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises MlscopeError: when the time limit leaves some of them unanswered.
    """
    server = _Server(model, inputs)
    limit = server.settings.time_limit
    reply, tensors = server.serve({"limit": limit}, {"scheduled_ns": scheduled_ns})
    if reply["unanswered"]:
        raise MlscopeError(
            f"{model.case.id}: {reply['unanswered']:,} of {reply['queries']:,} queries were not answered within "
            f"{limit:g} s; try a lower rate"
        )
    return tensors


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
    return latency, [*server.doubts, *warm_up_doubts(server.opened), *counter_doubts(run.sensors)]


def _latency(model: ReadyModel, server: _Server, run: _Attempt, search: RateSearch[_Attempt] | None) -> Latency:
    opened, settings = server.opened, server.settings
    samples = run.tensors["samples_ns"]
    answered = len(samples)
    achieved = answered / run.window_seconds if run.window_seconds else 0.0
    sizes = run.tensors["batch_sizes"]
    return Latency(
        samples_ns=samples,
        batch_size=model.case.batch_size,
        percentiles=supported_percentiles(samples, unanswered=run.unanswered),
        relative_error=median_relative_error(samples) if answered and not run.unanswered else None,
        throughput=achieved,
        stop_reason="time_limit" if run.unanswered else "duration",
        warmup_calls=opened["warmup_calls"],
        warmup_seconds=opened["warmup_seconds"],
        warmup_reason=opened["warmup_reason"],
        window_seconds=run.window_seconds,
        call_path=opened["call_path"],
        load_seconds=model.load_seconds,
        peak_memory=run.peak_memory,
        server=ServerRun(
            qps=run.qps,
            scheduled_qps=run.queries / run.last_arrival_seconds if run.last_arrival_seconds else run.qps,
            achieved_qps=achieved,
            queries=run.queries,
            unanswered=run.unanswered,
            kept=run.kept,
            percentile=settings.percentile,
            latency_bound=settings.latency_bound,
            latency=run.latency,
            queued=supported_percentiles(run.tensors["queued_ns"], unanswered=run.unanswered),
            arrival_error=percentile_of(run.tensors["noticed_late_ns"], 99.0),
            batch_sizes=tuple(opened["sizes"]),
            mean_batch=float(sizes.mean()) if len(sizes) else 0.0,
            seed=settings.seed,
            trials=() if search is None else tuple(attempt.trial for attempt in search.attempts),
            budget_ended=settings.search_budget if search is not None and search.out_of_time else None,
        ),
    )
