"""The server scenario: queries arrive as a Poisson process at a given rate, or at the highest that meets a bound.

Source: MLPerf Inference Rules, "Server" scenario.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
from pytest_mlscope.measurements.latency.result import Latency
from pytest_mlscope.measurements.latency.server_checks import server_checks
from pytest_mlscope.measurements.latency.server_columns import server_columns, server_notes
from pytest_mlscope.measurements.latency.server_load import Attempt, ServedModel, arrival_seconds, latency_of
from pytest_mlscope.measurements.latency.shown_scenario import ShownScenario
from pytest_mlscope.measurements.latency.timed import Timed

SAME_RATE = 0.01
"""Relative difference up to which two rates of queries are one."""


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
        server = ServedModel(model, inputs, self)
        search: RateSearch[Attempt] | None = None
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
        return Timed(latency_of(model, server, run, search), doubts)


def server_of(plan: Plan) -> Server:
    """The plan's settings of ``server``.

    :raises MlscopeError: where a plugin has another scenario of that name.
    """
    server = plan.scenarios["server"]
    if not isinstance(server, Server):
        raise MlscopeError(f"{plan.case.manifest}: a plugin's scenario stands in place of server")
    return server


def serve_arrivals(model: ReadyModel, inputs: Mapping[str, NDArray[Any]], scheduled_ns: NDArray[np.int64]) -> Served:
    """Serve queries that arrive when they are told to.

    :param inputs: ``batch_size`` rows.
    :param scheduled_ns: int64, ascending, shape ``(n,)``.
    :raises HostError: when the framework fails, or the timed path does not predict.
    :raises MlscopeError: when the time limit leaves some of them unanswered.
    """
    server = ServedModel(model, inputs, server_of(model.plan))
    limit = server.settings.time_limit
    served = model.host.serve_scheduled(scheduled_ns, limit=limit, timeout=model.deadline)
    if served.unanswered:
        raise MlscopeError(
            f"{model.case.id}: {served.unanswered:,} of {served.queries:,} queries were not answered within "
            f"{limit:g} s; try a lower rate"
        )
    return served
