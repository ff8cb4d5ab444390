"""Every metric of a manifest is compared by its rows, or said not to be."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.metrics.regression import MeanAbsoluteError
from pytest_mlscope.gate.accuracy_comparison import AccuracyComparison, compare_accuracy, metric_outcome
from pytest_mlscope.gate.comparison import not_compared
from pytest_mlscope.gate.metric_comparison import compare_metrics
from pytest_mlscope.gate.prediction_comparison import with_metrics
from pytest_mlscope.measurements.accuracy.result import Accuracy, Predictions
from pytest_mlscope.records.comparison import MetricComparison
from pytest_mlscope.statistics.sign_flips import sign_flip_p_value


def _accuracy(values: list[float] | None, value: float, *, higher: bool = True) -> Accuracy:
    rows = np.arange(60)
    kept = {} if values is None else {"m": np.array(values)}
    predictions = Predictions(rows, np.zeros(60), np.zeros(60))
    metrics = {"m": MetricValue(value, 60, higher_is_better=higher)}
    return Accuracy(metrics, 60, 0, [], predictions, seconds=1.0, row_values=kept)


def _outcome(before: list[float], now: list[float], *, higher: bool) -> str:
    compared = compare_metrics(_accuracy(before, 0), _accuracy(now, 0, higher=higher))["m"]
    assert isinstance(compared, MetricComparison), compared
    return compared.outcome


@pytest.mark.parametrize("higher", [True, False])
def test_a_shift_counts_in_the_direction_that_is_worse(higher: bool) -> None:
    before = [float(x) for x in np.random.default_rng(0).uniform(40, 50, 60)]
    more = [value * 2.5 for value in before]
    assert _outcome(before, more, higher=higher) == ("improved" if higher else "regression")
    assert _outcome(more, before, higher=higher) == ("regression" if higher else "improved")
    assert _outcome(before, before, higher=higher) == "pass"


def test_rows_that_are_no_numbers_any_more_are_a_regression() -> None:
    assert _outcome([1.5] * 60, [float("nan")] * 60, higher=False) == "regression"


def test_a_metric_without_rows_is_said_not_to_be_compared() -> None:
    compared = compare_metrics(_accuracy(None, 1.0), _accuracy(None, 0.0))
    whole = with_metrics(not_compared("HEAD", "no classes"), compared, "HEAD")
    assert whole.outcome == "not compared"
    assert whole.left_open == ("m is not compared with HEAD: it has no values of rows; it is 0 here and 1 there",)


def test_five_rows_lost_of_54_are_inconclusive() -> None:
    rows = np.arange(54)
    before = Accuracy({}, 54, 0, [], Predictions(rows, rows * 0, rows * 0), seconds=1.0)
    now = Accuracy({}, 54, 0, [], Predictions(rows, rows * 0, (rows < 5).astype(np.int64)), seconds=1.0)
    compared = compare_accuracy(before, now)
    assert isinstance(compared, AccuracyComparison)
    assert compared.outcome == "inconclusive"
    assert metric_outcome(0.2, 0.9, 0.005) == "pass"


@pytest.mark.slow
def test_drawn_exact_and_normal_p_values_agree() -> None:
    few = np.random.default_rng(1).standard_normal(14) + 0.4
    assert sign_flip_p_value(few) == pytest.approx(sign_flip_p_value(np.append(few, [1e-12])), abs=0.01)
    many = np.random.default_rng(2).standard_normal(1000)
    drawn, nearly = sign_flip_p_value(many), sign_flip_p_value(np.append(many, [1e-12]))
    assert drawn == pytest.approx(nearly, abs=0.01)


def test_a_mean_absolute_error_keeps_its_rows() -> None:
    state = MeanAbsoluteError().start()
    state.update(np.array([[1.0, 3.0], [0.0, 0.0]]), np.zeros((2, 2)))
    values = state.row_values()
    assert values is not None
    assert values.tolist() == [2.0, 0.0]
