"""Whether a model gives the same twice: one that does not cannot agree with anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.accuracy.result import Accuracy
from pytest_mlscope.measurements.parity.comparison import OutputComparison, default_tolerance
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, in_step, predict_raw
from pytest_mlscope.measurements.parity.tolerance import NOISE_ROWS, Tolerance

FEW_ROWS = 2
"""Predicted twice beside accuracy: enough for scores, and little beside a dataset."""


def with_self_difference(accuracy: Accuracy, ready: ReadyModel) -> Accuracy:
    """Say of an accuracy whether the model gives the same twice."""
    if accuracy.errors:
        return accuracy  # The first rows may be those that fail.
    tolerance = Tolerance(*default_tolerance(ready.case.precision, ready.resolved.get("precision")), "default")
    tolerances = {output.name: tolerance for output in ready.plan.outputs}
    return replace(accuracy, self_difference=difference_from_itself(ready, tolerances, rows=FEW_ROWS))


def difference_from_itself(ready: ReadyModel, tolerances: Mapping[str, Tolerance], *, rows: int) -> float | None:
    """Largest difference of two predictions of the same rows in one process; ``None`` within the tolerance.

    :raises HostError: when it fails.
    """
    comparisons = {name: OutputComparison(tolerance.abs, tolerance.rel) for name, tolerance in tolerances.items()}
    with RawOutputs() as outputs:
        for chunk in predict_raw(ready, rows=min(rows, NOISE_ROWS)):
            outputs.append(chunk)
        # In step: a model that differs from itself may differ in its outputs' shapes, too.
        for now, before in in_step(predict_raw(ready, rows=min(rows, NOISE_ROWS)), outputs):
            for name, output in (now or {}).items():
                comparisons[name].update(name, output, (before or {})[name], ranked=False)
    differing = [compared for compared in comparisons.values() if compared.violations or compared.mismatch]
    # Outputs that cannot be compared, such as of two shapes, differ by more than any number, not by 0.
    return max((math.inf if compared.max_abs is None else compared.max_abs for compared in differing), default=None)
