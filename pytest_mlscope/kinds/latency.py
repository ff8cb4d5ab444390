"""Latency: a measured window in the case's scenario."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.measurement import Measurement
from pytest_mlscope.expectations.check import Check
from pytest_mlscope.expectations.checks import latency_checks
from pytest_mlscope.measurements.context import Context
from pytest_mlscope.measurements.latency.latency import Readings
from pytest_mlscope.measurements.results import Evaluation, Latency

if TYPE_CHECKING:
    from pytest_mlscope.gate.gate import Gate
    from pytest_mlscope.records.comparison import Comparison


class LatencyMeasurement(Measurement):
    """Time of calls, load time and peak memory, with what profilers saw."""

    name = "latency"
    times = True
    expects = ("latency", "throughput", "peak_memory", "load_time")
    by_default = True

    def evaluate(self, context: Context) -> tuple[Latency, Readings]:
        return context.evaluator.latency(context.plan, hook=context.hook)

    def check(self, result: Latency, bounds: object, plan: Plan) -> Iterable[Check]:
        return latency_checks(result, plan)

    def compare(self, evaluation: Evaluation, gate: Gate, *, companions: Sequence[Plan], family: int) -> Comparison:
        return gate.latency(evaluation, companions, family=family)
