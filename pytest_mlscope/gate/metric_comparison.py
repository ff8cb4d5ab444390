"""The manifest's own metrics of two models, each by its values of the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.gate.accuracy_comparison import SIGNIFICANCE, metric_outcome, relative_loss
from pytest_mlscope.measurements import Accuracy
from pytest_mlscope.records import MetricComparison
from pytest_mlscope.statistics import PairedProportions, sign_flip_p_value


def compare_metrics(
    baseline: Accuracy,
    candidate: Accuracy,
    *,
    names: Collection[str] | None = None,
    significance: float = SIGNIFICANCE,
    accepted_losses: Mapping[str, float] | None = None,
) -> dict[str, MetricComparison | str]:
    """Metrics of the candidate; a text says why one was not compared.

    :param names: of those to compare; all when absent.
    :param accepted_losses: the largest loss of a metric that passes, relative to the baseline's value; 0 where absent.
    """
    losses = accepted_losses or {}
    return {
        name: _compare(baseline, candidate, name, significance=significance, accepted_loss=losses.get(name, 0.0))
        for name in candidate.metrics
        if names is None or name in names
    }


def _compare(
    baseline: Accuracy, candidate: Accuracy, name: str, *, significance: float, accepted_loss: float
) -> MetricComparison | str:
    now = candidate.metrics[name].value
    higher = candidate.metrics[name].higher_is_better is not False
    ours, theirs = candidate.row_values.get(name), baseline.row_values.get(name)
    if ours is None:
        return f"it has no values of rows; it is {now:.6g} here{_there(baseline, name)}"
    if theirs is None:
        return f"the baseline kept no values of rows; it is {now:.6g} here{_there(baseline, name)}"
    binary = _is_binary(ours) and _is_binary(theirs)
    here, there = _by_row(candidate, ours, binary=binary), _by_row(baseline, theirs, binary=binary)
    common = sorted(here.keys() & there.keys())
    if not common:
        return "the two were evaluated on different rows"
    pairs = np.array([(there[row], here[row]) for row in common], dtype=np.float64)
    worse, better, test = _p_values(pairs[:, 0], pairs[:, 1], higher=higher, binary=binary)
    then = baseline.metrics[name].value
    loss = relative_loss(then, now, higher=higher)
    return MetricComparison(
        metric_outcome(worse, better, significance, loss=loss, accepted_loss=accepted_loss),
        then,
        now,
        test,
        min(worse, better),
        len(common),
        len(here.keys() ^ there.keys()),
        loss,
        accepted_loss,
    )


def _there(baseline: Accuracy, name: str) -> str:
    return f" and {baseline.metrics[name].value:.6g} there" if name in baseline.metrics else ""


def _is_binary(values: NDArray[Any]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _by_row(accuracy: Accuracy, values: NDArray[Any], *, binary: bool) -> dict[int, float]:
    by_row = dict(zip(accuracy.predictions.rows.tolist(), values.tolist(), strict=True))
    if binary:
        # A row without a prediction is a row that is not right.
        for failure in accuracy.failures:
            by_row.update(dict.fromkeys(failure.rows, 0.0))
    return by_row


def _p_values(before: NDArray[Any], now: NDArray[Any], *, higher: bool, binary: bool) -> tuple[float, float, str]:
    """Of "not worse" and of "not better", and the test's name."""
    finite = np.isfinite(before), np.isfinite(now)
    if not (finite[0].all() and finite[1].all()):
        counts = PairedProportions.count(*finite)
        return counts.p_worse, counts.p_better, "McNemar's exact test of which rows have a finite value"
    if binary:
        sides = (before, now) if higher else (1 - before, 1 - now)
        counts = PairedProportions.count(*sides)
        return counts.p_worse, counts.p_better, "McNemar's exact test"
    gain = now - before if higher else before - now
    return sign_flip_p_value(-gain), sign_flip_p_value(gain), "paired permutation test"
