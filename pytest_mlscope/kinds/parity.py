"""Parity: raw outputs against the reference framework's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases import STATED, Case, Plan, is_parity_reference
from pytest_mlscope.components import Measurement
from pytest_mlscope.expectations import Check, parity_checks
from pytest_mlscope.manifest import Manifest, devices_in_use, parity_reference
from pytest_mlscope.measurements import Context, Evaluation, Parity

if TYPE_CHECKING:
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.records import Comparison


class ParityMeasurement(Measurement):
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
