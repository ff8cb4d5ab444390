"""Parity: raw outputs against the reference framework's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.cases.case import STATED, Case
from pytest_mlscope.cases.kinds import is_parity_reference
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.measurement import Measurement
from pytest_mlscope.expectations.check import Check
from pytest_mlscope.expectations.checks import parity_checks
from pytest_mlscope.manifest.dimensions import devices_in_use
from pytest_mlscope.manifest.kinds import parity_reference
from pytest_mlscope.manifest.schema import Manifest
from pytest_mlscope.measurements.context import Context
from pytest_mlscope.measurements.results import Evaluation, Parity

if TYPE_CHECKING:
    from pytest_mlscope.gate.gate import Gate
    from pytest_mlscope.records.comparison import Comparison


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
