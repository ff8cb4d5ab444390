"""Accuracy: the manifest's metrics over its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.components import Measurement
from pytest_mlscope.expectations import Check, accuracy_checks
from pytest_mlscope.manifest import Manifest
from pytest_mlscope.measurements import Accuracy, Context, Evaluation

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison


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
