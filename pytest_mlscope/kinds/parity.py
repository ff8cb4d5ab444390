"""Parity: raw outputs against the reference framework's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope import quantities as readable
from pytest_mlscope.cases import STATED, Case, Plan, is_parity_reference
from pytest_mlscope.columns import Column, View, numbers
from pytest_mlscope.components import Check, Measurement
from pytest_mlscope.expectations import parity_checks
from pytest_mlscope.kinds.shown import Shown, field_properties
from pytest_mlscope.manifest import Manifest, devices_in_use, parity_reference
from pytest_mlscope.measurements import Context, Evaluation, Parity

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison, EvaluationRecord


class ParityMeasurement(Measurement, Shown[Parity]):
    """Raw outputs against the reference framework's; of the reference itself, against the baseline's alone."""

    name = "parity"
    ignores = ("threads", "scenario", "preprocessing")
    expects = ("parity",)
    by_default = True

    def lacking(self, manifest: Manifest, *, baseline: bool) -> str | None:
        reference = parity_reference(manifest)
        if reference is None:
            return "expect.parity"
        if not baseline and all(combination == reference for combination in devices_in_use(manifest)):
            return "a case besides the parity reference itself"
        return None

    def takes(self, manifest: Manifest, case: Case, *, baseline: bool) -> bool:
        return case.preprocessing == STATED and (baseline or not is_parity_reference(manifest, case))

    def only_compares(self, plan: Plan) -> bool:
        return plan.is_parity_reference

    def evaluate(self, context: Context) -> Parity:
        return context.evaluator.parity(context.plan)

    def check(self, result: Parity, bounds: object, plan: Plan) -> Iterable[Check]:
        return parity_checks(result, plan)

    def compare(self, evaluation: Evaluation, gate: Gate, *, companions: Sequence[Plan], family: int) -> Comparison:
        return gate.parity(evaluation)

    def result_in(self, record: EvaluationRecord) -> Parity | None:
        return record.parity

    def view(self, results: Sequence[Parity], records: Sequence[EvaluationRecord]) -> View:
        def column(
            title: str, show: Callable[[float], str], value: Callable[[Parity], float | None], importance: int
        ) -> Column:
            return numbers(title, map(value, results), show, importance=importance)

        references = [each.reference for each in results]
        tolerances = [_tolerance(each) for each in results]
        columns, shared = [], []
        if len(set(references)) == 1:
            shared.append(f"against {references[0]}")
        else:
            columns.append(Column("against", references, "left", shorten=True))
        if len(set(tolerances)) == 1:
            shared.append(f"tolerance {tolerances[0]}")
        largest = numbers("max abs", [each.max_abs for each in results], readable.difference).cells
        cells = ["mismatch" if each.mismatch else cell for each, cell in zip(results, largest)]
        columns.append(Column("max abs", cells))
        columns.append(column("max rel", readable.difference, lambda parity: parity.max_rel, 70))
        columns.append(column("cosine", readable.score, lambda parity: parity.cosine, 10))
        columns.append(column("PSNR dB", readable.decibels, lambda parity: parity.psnr, 12))
        columns.append(column("top-1 agree", readable.score, lambda parity: parity.top1_agreement, 60))
        columns.append(column("top-5 agree", readable.score, lambda parity: parity.top5_agreement, 11))
        if len(set(tolerances)) > 1:
            columns.append(Column("tolerance", tolerances, importance=50))
        columns.append(_beyond(results))
        columns.append(column("n", readable.number, lambda parity: parity.n, 65))
        return View(columns, captions=[" · ".join(shared)] if shared else [])

    def properties(self, result: Parity) -> Mapping[str, object]:
        return field_properties(result, ("max_abs", "max_rel", "top1_agreement", "reference", "mismatch"))


def _beyond(results: Sequence[Parity]) -> Column:
    violations = [each.violations for each in results]
    cells = [f"{count:,}" for count in violations]
    if any(violations):
        return Column("beyond", cells, importance=45, note="beyond: elements outside the tolerance")
    return Column("beyond", cells, importance=15)


def _tolerance(parity: Parity) -> str:
    if parity.tolerance_source in ("exact", "agreement"):
        return parity.tolerance_source
    absolute, relative = parity.abs_tolerance or 0.0, parity.rel_tolerance or 0.0
    shown = f"{absolute:.3g} + {relative:.3g} × |b|" if relative else f"{absolute:.3g}"
    return f"{shown} ({parity.tolerance_source})"
