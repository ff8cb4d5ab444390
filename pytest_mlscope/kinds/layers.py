"""Layers: the framework's own profile of the model, with latency where it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_mlscope.components import Measurement
from pytest_mlscope.measurements import Context, LayerProfile
from pytest_mlscope.quantities import plural

if TYPE_CHECKING:
    from pytest_mlscope.records import EvaluationRecord


class LayersMeasurement(Measurement):
    """The model layer by layer. ``--mlscope-layers`` asks for it: manifests have no tests of it."""

    name = "layers"
    times = True
    has_tests = False

    def evaluate(self, context: Context) -> LayerProfile:
        return context.evaluator.layers(context.plan)

    def notes(self, records: Sequence[EvaluationRecord]) -> list[str]:
        """What stands below the table of latencies, beside which layers are profiled: there is no table of layers."""
        profiled = [(each.case, each.layers) for each in records if each.case and each.layers]
        count = sum(len(profile.layers) for _, profile in profiled)
        lacking = Counter(
            f"{case.framework}: {profile.not_available}" for case, profile in profiled if profile.not_available
        )
        found = [f"layers: {count:,}, in JSON"] if count else []
        return [*found, *(f"layers: {reason} ({plural(cases, 'case')})" for reason, cases in sorted(lacking.items()))]
