"""Two models' predictions on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.evaluation.results import Accuracy
from pytest_mlscope.gate.paired_proportions import PairedProportions
from pytest_mlscope.gate.sequential import Outcome

SIGNIFICANCE = 0.005
"""P-value, one-sided, at which a loss or a gain counts as no chance: together at most 1 % of unchanged models."""


@dataclass(frozen=True)
class AccuracyComparison:
    """McNemar's exact test on the rows that both models were asked for."""

    outcome: Outcome
    counts: PairedProportions
    p_value: float
    """One-sided, in the direction of the difference seen."""
    changed: int
    """Rows whose prediction changed, right or wrong."""
    left_out: int
    """Rows that only one of the two was asked for."""


def _by_row(accuracy: Accuracy) -> dict[int, tuple[object, bool]] | None:
    """Row number to the prediction and whether it is right; ``None`` where predictions are no classes."""
    kept = accuracy.predictions
    if kept.predicted.ndim != 1 or kept.predicted.dtype.kind not in "iub" or kept.labels.ndim != 1:
        return None
    right: NDArray[np.bool_] = kept.predicted == kept.labels
    rows = {int(row): (p, bool(r)) for row, p, r in zip(kept.rows, kept.predicted.tolist(), right, strict=True)}
    # A row without a prediction is a row that is not right.
    for failure in accuracy.failures:
        rows.update(dict.fromkeys(failure.rows, (None, False)))
    return rows


def _labels(accuracy: Accuracy) -> dict[int, object]:
    return dict(zip(accuracy.predictions.rows.tolist(), accuracy.predictions.labels.tolist(), strict=True))


def compare_accuracy(
    baseline: Accuracy, candidate: Accuracy, *, significance: float = SIGNIFICANCE
) -> AccuracyComparison | str:
    """The verdict, or why there can be none.

    :param baseline: over the same rows of the same dataset as
    :param candidate: rows that only one of them was asked for are left out when there are others, and no rows in common
        are a reason for no verdict.
    """
    ours, theirs = _by_row(candidate), _by_row(baseline)
    if ours is None or theirs is None:
        return "predictions are no classes, so there is nothing to count row by row"
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return "the two were evaluated on different rows"
    before, now = (_labels(each) for each in (baseline, candidate))
    if any(before[row] != now[row] for row in before.keys() & now.keys()):
        return "rows have other labels there, so the datasets are not the same"
    right = np.array([(theirs[row][1], ours[row][1]) for row in common])
    counts = PairedProportions.count(right[:, 0], right[:, 1])
    worse, better = counts.p_worse, counts.p_better
    outcome: Outcome = "regression" if worse <= significance else "improved" if better <= significance else "pass"
    changed = sum(ours[row][0] != theirs[row][0] for row in common)
    return AccuracyComparison(outcome, counts, min(worse, better), changed, len(ours.keys() ^ theirs.keys()))
