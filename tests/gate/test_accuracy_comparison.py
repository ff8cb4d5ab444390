"""Accuracies compared row by row: which rows may be."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison, compare_accuracy
from pytest_mlscope.measurements.accuracy.result import Accuracy, FailedRows, Predictions


def _accuracy(rows: list[int], labels: list[int], predicted: list[int], failed: tuple[int, ...] = ()) -> Accuracy:
    predictions = Predictions(np.array(rows, dtype=np.int64), np.array(labels), np.array(predicted))
    failures = [FailedRows(failed, "broken")] if failed else []
    return Accuracy({}, len(rows) + len(failed), len(failed), failures, predictions, seconds=1.0)


def _compared(baseline: Accuracy, candidate: Accuracy) -> AccuracyComparison:
    compared = compare_accuracy(baseline, candidate)
    assert isinstance(compared, AccuracyComparison), compared
    return compared


classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(classes, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(values: list[tuple[int, int, int]], random_: random.Random) -> None:
    rows = list(range(len(values)))
    labels, before, now = (list(column) for column in zip(*values, strict=True))
    order = random_.sample(rows, len(rows))
    shuffled = _accuracy(order, [labels[row] for row in order], [now[row] for row in order])
    straight = _compared(_accuracy(rows, labels, before), _accuracy(rows, labels, now))
    assert straight == _compared(_accuracy(rows, labels, before), shuffled)


@given(classes)
def test_a_model_compared_with_itself_has_lost_and_gained_nothing(values: list[tuple[int, int, int]]) -> None:
    labels, predicted, _ = (list(column) for column in zip(*values, strict=True))
    same = _accuracy(list(range(len(values))), labels, predicted)
    compared = _compared(same, same)
    assert (compared.outcome, compared.changed, compared.left_out) == ("pass", 0, 0)
    assert compared.counts.only_baseline_right == compared.counts.only_candidate_right == 0


def test_rows_of_one_side_are_left_out_and_counted() -> None:
    compared = _compared(_accuracy([0, 1, 2], [1, 1, 1], [1, 1, 1]), _accuracy([2, 3], [1, 1], [0, 1]))
    assert (compared.counts.n, compared.left_out) == (1, 3)


def test_a_row_without_a_prediction_is_not_right() -> None:
    compared = _compared(_accuracy([0, 1], [1, 1], [1, 1]), _accuracy([0], [1], [1], failed=(1,)))
    assert compared.counts.only_baseline_right == 1


def test_rows_whose_labels_changed_are_of_another_dataset() -> None:
    compared = compare_accuracy(_accuracy([0, 1], [1, 2], [1, 2]), _accuracy([0, 1], [2, 1], [2, 1]))
    assert compared == "rows have other labels there, so the datasets are not the same"


def test_no_rows_in_common_are_no_verdict() -> None:
    assert compare_accuracy(_accuracy([0], [1], [1]), _accuracy([1], [1], [1])) == (
        "the two were evaluated on different rows"
    )
