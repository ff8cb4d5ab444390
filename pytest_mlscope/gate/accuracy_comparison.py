"""Two models' predictions on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pytest_mlscope.measurements import Accuracy
from pytest_mlscope.records import Outcome
from pytest_mlscope.statistics import PairedProportions

SIGNIFICANCE = 0.005
"""P-value, one-sided, at which a loss or a gain counts as no chance: together at most 1 % of unchanged models."""

NO_CLASSES = "predictions are no classes, so there is nothing to count row by row"
"""The one reason that leaves the metrics themselves to compare."""
DOUBT = 0.05
"""P-value, one-sided, up to which a loss that is not significant is inconclusive."""


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
    accepted_loss: float = 0.0
    """The largest loss that passes, relative to the baseline's share of rows it had right."""
    loss: float = 0.0
    """The loss seen, relative to the same; negative for a gain."""


def relative_loss(baseline: float, candidate: float, *, higher: bool) -> float:
    """How much worse a value is, relative to the baseline's; negative for a gain, infinite where that says nothing.

    >>> round(relative_loss(0.98, 0.97, higher=True), 4)
    0.0102
    >>> relative_loss(2.0, 3.0, higher=False)
    0.5
    """
    lost = baseline - candidate if higher else candidate - baseline
    if lost == 0:
        return 0.0
    loss = lost / abs(baseline) if baseline else math.copysign(math.inf, lost)
    return math.inf if math.isnan(loss) else loss


def metric_outcome(
    worse: float, better: float, significance: float, *, loss: float = 0.0, accepted_loss: float = 0.0
) -> Outcome:
    """What one-sided p-values of "not worse" and "not better" come to.

    :param loss: the loss seen, relative to the baseline's value.
    :param accepted_loss: the largest that passes; then a larger one that may be chance is inconclusive.

    >>> metric_outcome(0.001, 0.999, 0.005), metric_outcome(0.03, 0.97, 0.005)
    ('regression', 'inconclusive')
    """
    if worse <= significance and (not accepted_loss or loss > accepted_loss):
        return "regression"
    if better <= significance:
        return "improved"
    if accepted_loss:
        return "inconclusive" if loss > accepted_loss else "pass"
    # Too few rows to call it a loss, and too many to call it chance.
    return "inconclusive" if worse <= DOUBT else "pass"


class _Row(NamedTuple):
    """``None`` for what a row that failed has not."""

    predicted: object
    label: object

    @property
    def right(self) -> bool:
        return self.predicted is not None and self.predicted == self.label


def _by_row(accuracy: Accuracy) -> dict[int, _Row] | None:
    """By row number; ``None`` where predictions are no classes."""
    kept = accuracy.predictions
    if kept.predicted.ndim != 1 or kept.predicted.dtype.kind not in "iub" or kept.labels.ndim != 1:
        return None
    predictions = map(_Row, kept.predicted.tolist(), kept.labels.tolist())
    rows = dict(zip(kept.rows.tolist(), predictions, strict=True))
    # A row without a prediction is a row that is not right.
    for failure in accuracy.failures:
        rows.update(dict.fromkeys(failure.rows, _Row(None, None)))
    return rows


def _other_labels(before: _Row, now: _Row) -> bool:
    return before.label is not None and now.label is not None and before.label != now.label


def compare_accuracy(
    baseline: Accuracy, candidate: Accuracy, *, significance: float = SIGNIFICANCE, accepted_loss: float = 0.0
) -> AccuracyComparison | str:
    """The verdict, or why there can be none.

    :param baseline: over the same rows of the same dataset as
    :param candidate: rows that only one of them was asked for are left out when there are others, and no rows in common
        are a reason for no verdict.
    :param accepted_loss: relative to the baseline's share of rows it had right.
    """
    ours, theirs = _by_row(candidate), _by_row(baseline)
    if ours is None or theirs is None:
        return NO_CLASSES
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return "the two were evaluated on different rows"
    if any(_other_labels(theirs[row], ours[row]) for row in common):
        return "rows have other labels there, so the datasets are not the same"
    right = np.array([(theirs[row].right, ours[row].right) for row in common])
    counts = PairedProportions.count(right[:, 0], right[:, 1])
    worse, better = counts.p_worse, counts.p_better
    loss = relative_loss(float(right[:, 0].sum()), float(right[:, 1].sum()), higher=True)
    outcome = metric_outcome(worse, better, significance, loss=loss, accepted_loss=accepted_loss)
    changed = sum(ours[row].predicted != theirs[row].predicted for row in common)
    return AccuracyComparison(
        outcome, counts, min(worse, better), changed, len(ours.keys() ^ theirs.keys()), accepted_loss, loss
    )
