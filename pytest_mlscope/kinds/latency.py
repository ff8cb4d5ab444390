"""Latency: a measured window in the case's scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases import Plan
from pytest_mlscope.columns import Note, View
from pytest_mlscope.components import Check, Measurement
from pytest_mlscope.expectations import latency_checks
from pytest_mlscope.kinds.latency_columns import latency_columns, scenario_notes
from pytest_mlscope.kinds.latency_remarks import latency_remarks
from pytest_mlscope.kinds.layers import LayersMeasurement
from pytest_mlscope.kinds.shown import Shown, field_properties
from pytest_mlscope.measurements import Context, Evaluation, Latency, Readings

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison, EvaluationRecord


class LatencyMeasurement(Measurement, Shown[Latency]):
    """Time of calls, load time and peak memory, with what profilers saw."""

    name = "latency"
    times = True
    expects = ("latency", "throughput", "peak_memory", "load_time")
    told_by_others = ("samples_ns",)
    by_default = True

    def evaluate(self, context: Context) -> tuple[Latency, Readings]:
        return context.evaluator.latency(context.plan, hook=context.hook)

    def check(self, result: Latency, bounds: object, plan: Plan) -> Iterable[Check]:
        return latency_checks(result, plan)

    def compare(self, evaluation: Evaluation, gate: Gate, *, companions: Sequence[Plan], family: int) -> Comparison:
        return gate.latency(evaluation, companions, family=family)

    def result_in(self, record: EvaluationRecord) -> Latency | None:
        return record.latency

    def view(self, results: Sequence[Latency], records: Sequence[EvaluationRecord]) -> View:
        lines = [*scenario_notes(results, records), *latency_remarks(results), *LayersMeasurement().notes(records)]
        return View(latency_columns(results, records), notes=[Note(line) for line in lines])

    def properties(self, result: Latency) -> Mapping[str, object]:
        figures = {figure.name: figure.value for figure in result.figures}
        # A figure never hides what is measured of every latency.
        return {**figures, **field_properties(result, ("percentiles", "throughput", "load_seconds", "peak_memory"))}
