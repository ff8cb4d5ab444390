"""Two accuracies of one case: predictions row by row, and every metric of the manifest."""

from __future__ import annotations

import numpy as np

from pytest_mlscope.cases import Plan
from pytest_mlscope.components import Top1, TopK
from pytest_mlscope.gate.accuracy_comparison import NO_CLASSES, SIGNIFICANCE, compare_accuracy
from pytest_mlscope.gate.comparison import ignored, not_compared
from pytest_mlscope.gate.metric_comparison import compare_metrics
from pytest_mlscope.gate.policy import Policy
from pytest_mlscope.gate.prediction_comparison import accuracy_comparison, with_metrics
from pytest_mlscope.manifest import BoundMetric
from pytest_mlscope.measurements import Accuracy
from pytest_mlscope.records import Comparison


def accuracy_verdict(baseline: Accuracy, candidate: Accuracy, plan: Plan, against: str, *, family: int) -> Comparison:
    """The worst of all verdicts, with a line for each metric that was not compared.

    :param plan: the candidate's.
    :param family: how many accuracies the run compares; its share of the level is divided among further metrics.
    """
    significance = SIGNIFICANCE / max(family, 1)
    policy = Policy.of(plan)
    bounds = plan.manifest.metrics
    dropped = [policy.ignored("accuracy", bound.name) for bound in bounds if policy.ignores("accuracy", bound.name)]
    if len(dropped) == len(bounds):
        return ignored(against, *dropped)
    counted = compare_accuracy(baseline, candidate, significance=significance, accepted_loss=policy.accepted_loss())
    predictions = accuracy_comparison(counted, against, policy)
    if isinstance(counted, str) and counted is not NO_CLASSES:
        return predictions
    if _other_labels(baseline, candidate):
        return not_compared(against, "rows have other labels there, so the datasets are not the same")
    metrics = compare_metrics(
        baseline,
        candidate,
        names=[bound.name for bound in bounds if not policy.ignores("accuracy", bound.name)],
        significance=significance / max(len(bounds), 1),
        accepted_losses={bound.name: policy.accepted_loss(bound.name) for bound in bounds},
    )
    first = bounds[0]
    if not isinstance(counted, str) and _is_top1(first):
        # Predictions are of the first metric's output, so their counts are its comparison.
        metrics.pop(first.name, None)
    return with_metrics(None if policy.ignores("accuracy") else predictions, metrics, against, policy, dropped)


def _is_top1(bound: BoundMetric) -> bool:
    return isinstance(bound.metric, Top1) or (isinstance(bound.metric, TopK) and bound.metric.k == 1)


def _other_labels(baseline: Accuracy, candidate: Accuracy) -> bool:
    """Whether a row that both have has another label there; labels too large to keep are not known."""
    theirs, ours = baseline.predictions, candidate.predictions
    if theirs.labels.shape[1:] != ours.labels.shape[1:]:
        return bool(theirs.labels.size and ours.labels.size)
    if theirs.labels.dtype.kind == "O" or ours.labels.dtype.kind == "O":
        return False
    _, there, here = np.intersect1d(theirs.rows, ours.rows, return_indices=True)
    before, now = theirs.labels[there], ours.labels[here]
    return not np.array_equal(before, now, equal_nan=before.dtype.kind == "f" and now.dtype.kind == "f")
