"""Accuracy: the manifest's metrics over its dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope import quantities as readable
from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.columns import ABSENT, KEEP, Column, Note, View, numbers, shown
from pytest_mlscope.components import Check, Measurement, MetricValue
from pytest_mlscope.expectations import accuracy_checks
from pytest_mlscope.kinds.shown import Shown, field_properties
from pytest_mlscope.manifest import Manifest
from pytest_mlscope.measurements import Accuracy, Context, Evaluation

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison, EvaluationRecord


class AccuracyMeasurement(Measurement, Shown[Accuracy]):
    """Metrics over a dataset, of every pre-processing variant."""

    name = "accuracy"
    ignores = ("threads", "scenario")
    expects = ("errors", "accuracy")
    told_by_others = ("seconds", "samples_per_second", "predictions", "row_values")
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

    def result_in(self, record: EvaluationRecord) -> Accuracy | None:
        return record.accuracy

    def apart(self, result: Accuracy) -> object:
        # Models of different tasks would share half-empty columns.
        return tuple(result.metrics)

    def view(self, results: Sequence[Accuracy], records: Sequence[EvaluationRecord]) -> View:
        names = list(results[0].metrics)
        columns: list[Column] = []
        for place, name in enumerate(names):
            columns += _metric_columns(name, [each.metrics[name] for each in results], importance=60 - place)
        columns += _shift_columns(results)
        columns.append(numbers("n", [each.n for each in results], readable.number, importance=80))
        errors = [each.errors for each in results]
        # Without an error the column says little; with one it must not be missed.
        importance = KEEP if any(errors) else 50
        columns.append(Column("errors", [f"{count:,}" for count in errors], importance=importance))
        rates = [each.samples_per_second for each in results]
        columns.append(numbers("samples/s", rates, readable.number, importance=20))
        return View(columns, notes=[*_chance(names, results), *_from_itself(results)])

    def properties(self, result: Accuracy) -> Mapping[str, object]:
        metrics = {name: metric.value for name, metric in result.metrics.items()}
        return {**metrics, **field_properties(result, ("n", "errors"))}


def _metric_columns(name: str, metrics: Sequence[MetricValue], *, importance: int) -> list[Column]:
    note = f"{name}: lower is better" if any(metric.higher_is_better is False for metric in metrics) else ""
    columns = [Column(name, [readable.score(metric.value) for metric in metrics], note=note)]
    if any(metric.interval for metric in metrics):
        columns.append(Column("95% interval", list(map(_interval, metrics)), importance=importance))
    return columns


def _interval(metric: MetricValue) -> str:
    return ABSENT if metric.interval is None else "–".join(map(readable.score, metric.interval))


def _shift_columns(results: Sequence[Accuracy]) -> list[Column]:
    shifts = [each.input_shift for each in results]
    if not any(shifts):
        return []
    means = [
        "shape" if each and each.shape_differs else shown(each.mean_abs if each else None, readable.number)
        for each in shifts
    ]
    note = "input shift: mean |difference| of the input tensors from the stated pre-processing's"
    largest = [each.max_abs if each else None for each in shifts]
    return [
        Column("input shift", means, note=note),
        numbers("max shift", largest, readable.number, importance=40),
    ]


def _chance(names: Sequence[str], results: Sequence[Accuracy]) -> list[Note]:
    notes: list[Note] = []
    for name in names:
        values = [each.metrics[name] for each in results]
        guesses = [value.chance for value in values if value.chance is not None and value.is_chance]
        notes += [
            Note(
                f"{name} is no better than chance ({readable.score(chance)}): labels may count from 1, or stand for "
                "classes in another order than the model's, or a pre-processing step may be wrong "
                f"({readable.plural(guesses.count(chance), 'case')})"
            )
            for chance in sorted(set(guesses))
        ]
    return notes


def _from_itself(results: Sequence[Accuracy]) -> list[Note]:
    found = [each.self_difference for each in results]
    known = [value for value in found if value is not None]
    if not known:
        return []
    return [
        Note(
            f"the model differs from itself by up to {max(known):.3g} when it predicts the same rows twice, so that "
            f"its accuracy is that of one draw ({readable.plural(len(known), 'case')})"
        )
    ]
