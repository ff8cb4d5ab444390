"""Latency: a measured window in the case's scenario."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import Measurement
from pytest_mlscope.expectations import Check, latency_checks
from pytest_mlscope.measurements import Context, Evaluation, Latency, Readings

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison


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
