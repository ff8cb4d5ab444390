"""Accuracy: the manifest's metrics over its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.measurement import Measurement
from pytest_mlscope.expectations.check import Check
from pytest_mlscope.expectations.checks import accuracy_checks
from pytest_mlscope.manifest.schema import Manifest
from pytest_mlscope.measurements.context import Context
from pytest_mlscope.measurements.results import Accuracy, Evaluation

if TYPE_CHECKING:
    from pytest_mlscope.gate.gate import Gate
    from pytest_mlscope.records.comparison import Comparison


class AccuracyMeasurement(Measurement):
    """Metrics over a dataset, of every pre-processing variant."""

    name = "accuracy"
    ignores = ("threads", "scenario")
    expects = ("errors", "accuracy")
    by_default = True

    def lacking(self, manifest: Manifest, *, baseline: bool) -> str | None:
        if manifest.dataset is None:
            return "a dataset"
        return None if manifest.metrics else "metrics"

    def takes(self, manifest: Manifest, case: Case, *, baseline: bool) -> bool:
        return True

    def evaluate(self, context: Context) -> Accuracy:
        return context.evaluator.accuracy(context.plan)

    def check(self, result: Accuracy, bounds: object, plan: Plan) -> Iterable[Check]:
        return accuracy_checks(result, plan)

    def compare(self, evaluation: Evaluation, gate: Gate, *, companions: Sequence[Plan], family: int) -> Comparison:
        return gate.accuracy(evaluation, family=family)
