"""Top-k accuracy with its interval, and errors of quantities."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    mean_absolute_error,
    root_mean_squared_error,
    top_k_accuracy_score,
)

from pytest_mlscope.components.metrics.base import Metric, MetricValue
from pytest_mlscope.components.metrics.regression import MeanAbsoluteError, RootMeanSquaredError
from pytest_mlscope.components.metrics.top_k import Top1, Top5, TopK
from pytest_mlscope.components.postprocessing.classes import TopK as TopKStep
from pytest_mlscope.errors import DatasetError, PreprocessingError
from pytest_mlscope.statistics.wilson import wilson_interval


def _value(metric: Metric, outputs: Any, labels: Any, errors: int = 0) -> MetricValue:
    state = metric.start()
    state.update(np.asarray(outputs), np.asarray(labels))
    state.count_errors(errors)
    return state.result()


def _result_reading(holds: Any, metric: Metric, *batches: tuple[Any, Any]) -> MetricValue:
    state = metric.start_reading(holds)
    for outputs, labels in batches:
        state.update(np.asarray(outputs), np.asarray(labels))
    return state.result()


@settings(deadline=None)
@given(st.integers(1, 10**5).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_the_wilson_interval_ends_where_the_score_test_does(trial: tuple[int, int], confidence: float) -> None:
    """By its definition: at a bound ``p``, the observed proportion is just ``z`` standard errors of ``p`` away."""
    successes, n = trial
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for bound in wilson_interval(successes, n, confidence=confidence):
        if 0 < bound < 1:
            assert abs(successes / n - bound) == pytest.approx(
                z * math.sqrt(bound * (1 - bound) / n), rel=1e-6, abs=1e-9
            )


@given(st.integers(1, 10**4).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_holds_the_proportion_and_stays_within_bounds(trial: tuple[int, int]) -> None:
    successes, n = trial
    lower, upper = wilson_interval(successes, n)
    assert 0.0 <= lower <= successes / n <= upper <= 1.0


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(2, 50))
def test_the_wilson_interval_narrows_with_rows_and_mirrors_with_errors(trial: tuple[int, int], times: int) -> None:
    successes, n = trial
    lower, upper = wilson_interval(successes, n)
    narrower = wilson_interval(successes * times, n * times)
    assert narrower[1] - narrower[0] < upper - lower
    np.testing.assert_allclose(wilson_interval(n - successes, n), (1 - upper, 1 - lower), atol=1e-12)


@pytest.mark.parametrize("arguments", [(1, 0), (-1, 3), (4, 3)])
def test_the_wilson_interval_of_impossible_counts_is_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="successes in"):
        wilson_interval(*arguments)


_SCORES_AND_LABELS = st.tuples(st.integers(1, 20), st.integers(6, 9)).flatmap(
    lambda shape: st.tuples(
        # Few distinct values make many ties.
        hnp.arrays(np.float32, shape, elements=st.integers(0, 3)),
        hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)),
        st.integers(1, 6),
    )
)


@given(_SCORES_AND_LABELS)
def test_scores_and_ranked_classes_give_the_same_accuracy(case: tuple[Any, Any, int]) -> None:
    """Whether a manifest ranks with the top_k step or leaves scores must not change the number."""
    scores, labels, k = case
    ranked = TopKStep(k=k).apply_batch(scores)
    expected = np.mean([label in row for label, row in zip(labels, ranked)])
    assert _value(TopK(k=k), scores, labels).value == pytest.approx(expected)
    assert _result_reading("ranking", TopK(k=k), (ranked, labels)).value == pytest.approx(expected)


def test_top_k_without_ties_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=(500, 10)), generator.integers(0, 10, 500)
    for metric, k in ((Top1(), 1), (Top5(), 5), (TopK(k=3), 3)):
        expected = top_k_accuracy_score(labels, scores, k=k, labels=range(10))
        result = _value(metric, scores, labels)
        assert result.value == pytest.approx(expected)
        assert result.n == 500
        assert result.interval == wilson_interval(round(expected * 500), 500)


def test_batches_add_up() -> None:
    """The result does not depend on how rows are cut into batches."""
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(size=(100, 10)), generator.integers(0, 10, 100)
    state = Top1().start()
    for start in range(0, 100, 7):
        state.update(scores[start : start + 7], labels[start : start + 7])
    assert state.result() == _value(Top1(), scores, labels)


def test_rows_without_a_prediction_count_as_wrong() -> None:
    result = _value(Top1(), [[0.0, 1.0], [0.0, 1.0]], [1, 1], errors=2)
    assert (result.value, result.n) == (0.5, 4)


@pytest.mark.parametrize("metric", [Top1(), TopK(k=2)])
def test_scores_that_are_no_numbers_are_never_right(metric: Metric) -> None:
    """argmax takes NaN for the largest: a model that gives nothing but NaN must not score."""
    assert _value(metric, np.full((4, 3), np.nan), [0, 0, 1, 2]).value == 0.0


def test_predicted_class_numbers_are_compared_directly() -> None:
    assert _value(Top1(), [3, 1, 2, 2], [3, 1, 0, 2]).value == 0.75


@pytest.mark.parametrize("outputs", [np.eye(3)[[0] * 30], np.zeros(30, np.int64), np.zeros((30, 1), np.int32)])
def test_a_value_that_a_guess_reaches_is_known_as_such(outputs: Any) -> None:
    """Labels of another order give 0.0 to a sound model."""
    wrong = _value(Top1(), outputs, [1, 2] * 15)
    assert wrong.chance == pytest.approx(1 / 3)
    assert wrong.is_chance
    assert not _value(Top1(), outputs, [0] * 25 + [2] * 5).is_chance
    assert not _value(Top1(), outputs[:4], [1, 2] * 2).is_chance


def test_scores_with_trailing_ones_are_scores() -> None:
    assert _value(Top1(), np.array([[0.0, 1.0]]).reshape(1, 2, 1, 1), [1]).value == 1.0


def test_labels_may_have_a_dimension_of_one() -> None:
    assert _value(Top1(), [[0.0, 1.0], [1.0, 0.0]], [[1], [1]]).value == 0.5


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "error", "message"),
    [
        (Top5(), [[0.1, 0.9]], [0], PreprocessingError, "needs at least 5 classes, the output has 2"),
        (Top5(), [1], [0], PreprocessingError, "needs 5 ranked classes a row, the output has 1"),
        (
            Top1(),
            [[0.1, 0.9]] * 2,
            [0, 2],
            DatasetError,
            "class number 2 is a label, but the output has 2 classes, 0 to 1$",
        ),
        (Top1(), [[0.1, 0.9]] * 2, [1, 2], DatasetError, r'.* if the labels count from 1, .*: `labels: \["1", "2"\]`'),
        (Top1(), [[0.1] * 9], [9], DatasetError, r'.* if the labels count from 1, .*: `labels: \["1", …, "9"\]`'),
        (Top1(), [[0.9]], [0], PreprocessingError, "needs a score for each class, .*; .* add the step threshold"),
        (Top1(), [[0.1, 0.9]], [-1], DatasetError, "class number -1 is a label"),
        (Top1(), [[0.1, 0.9]], [0.5], DatasetError, "labels must be class numbers or names, not float64"),
        (Top1(), [0.1], [0], PreprocessingError, r"needs scores of shape \(batch, classes\)"),
        (MeanAbsoluteError(), [[1.0, 2.0]], [1.0], DatasetError, r"the output has shape \(1, 2\), the labels \(1,\)"),
        (MeanAbsoluteError(), [1.0], ["a"], DatasetError, "labels must be numbers"),
    ],
)
def test_outputs_and_labels_that_do_not_belong_together_are_refused(
    metric: Metric, outputs: Any, labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"metric '{metric.name}': {message}"):
        _value(metric, outputs, labels)


_QUANTITIES = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.float64, n, elements=st.floats(-1e6, 1e6))] * 2)
)


@given(_QUANTITIES)
def test_errors_of_quantities_are_scikit_learns(case: tuple[Any, Any]) -> None:
    outputs, labels = case
    assert _value(MeanAbsoluteError(), outputs, labels).value == pytest.approx(mean_absolute_error(labels, outputs))
    assert _value(RootMeanSquaredError(), outputs, labels).value == pytest.approx(
        root_mean_squared_error(labels, outputs), abs=1e-9
    )


def test_a_column_of_outputs_is_not_broadcast_against_labels() -> None:
    """(n, 1) minus (n,) would be (n, n) in numpy, and its mean a wrong number without a word."""
    assert _value(MeanAbsoluteError(), [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]).value == 0.0


def test_half_precision_sums_do_not_overflow() -> None:
    outputs = np.full((100, 1), 300.0, dtype=np.float16)
    assert _value(RootMeanSquaredError(), outputs, np.zeros(100, dtype=np.float16)).value == pytest.approx(300.0)


def test_rows_without_a_prediction_are_left_out_of_errors_of_quantities() -> None:
    assert _value(MeanAbsoluteError(), [1.0, 3.0], [0.0, 0.0], errors=5) == MetricValue(2.0, 2)


@pytest.mark.parametrize("metric", [Top1(), MeanAbsoluteError(), RootMeanSquaredError()])
def test_no_rows_give_no_number(metric: Metric) -> None:
    result = metric.start().result()
    assert np.isnan(result.value)
    assert result.n == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_a_quantised_classifiers_integers_are_scores(dtype: Any) -> None:
    scores = np.array([[3, 100, 7], [90, 1, 1], [0, 5, 5]], dtype)
    assert _value(Top1(), scores, [1, 0, 2]).value == pytest.approx(2 / 3)
    assert _value(TopK(k=2), scores, [1, 0, 2]).value == 1.0


def test_a_stated_ranking_has_each_class_once() -> None:
    with pytest.raises(PreprocessingError, match="if they are scores, state `holds: scores`"):
        _result_reading("ranking", Top1(), ([[7, 7, 90]], [2]))
    with pytest.raises(PreprocessingError, match="needs 5 ranked classes a row, the output has 2"):
        _result_reading("ranking", Top5(), ([[1, 2]], [0]))
    with pytest.raises(PreprocessingError, match="said to hold a ranking, but is float32"):
        _result_reading("ranking", Top1(), (np.ones((1, 3), np.float32), [2]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("metric", [Top1(), TopK(k=2)])
def test_integers_that_can_be_scores_or_a_ranking_are_what_the_manifest_says(metric: Metric, dtype: Any) -> None:
    # As scores the best class is 1, as a ranking 2.
    rows, labels = np.array([[2, 7, 1]] * 3, dtype), [1, 1, 2]
    assert _result_reading("scores", Top1(), (rows, labels)).value == pytest.approx(2 / 3)
    assert _result_reading("ranking", Top1(), (rows, labels)).value == pytest.approx(1 / 3)
    with pytest.raises(PreprocessingError, match="state `holds: scores` or `holds: ranking` for the output"):
        _result_reading(None, metric, (rows, labels))
    # A class that a ranking of three does not have is no reason to blame the label.
    with pytest.raises(PreprocessingError, match="state `holds: scores` or `holds: ranking` for the output"):
        _result_reading(None, metric, (rows, [1, 1, 9]))


def test_one_row_that_cannot_be_a_ranking_makes_all_rows_scores() -> None:
    batches = [([[2, 7, 1]], [1]), ([[4, 4, 9]], [2]), ([[5, 3, 8]], [0])]
    assert _result_reading(None, Top1(), *batches).value == pytest.approx(2 / 3)
    assert _result_reading(None, Top1(), ([[5, 0, -7]], [0])).value == 1.0


def test_one_integer_a_row_is_a_class_number() -> None:
    assert _result_reading(None, Top1(), ([1, 2, 3], [1, 2, 4])).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", [MeanAbsoluteError(), RootMeanSquaredError()])
def test_layouts_that_differ_are_not_compared(metric: Metric) -> None:
    with pytest.raises(DatasetError, match="the output has shape"):
        _value(metric, np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4, 3)))
    assert _value(metric, np.zeros((2, 3, 1)), np.zeros((2, 3))).value == 0.0


def test_an_error_says_which_side_holds_nan() -> None:
    with pytest.raises(PreprocessingError, match="the output holds NaN"):
        _value(MeanAbsoluteError(), [np.nan, 1.0], [1.0, 1.0])
    with pytest.raises(DatasetError, match="the labels hold NaN"):
        _value(MeanAbsoluteError(), [1.0, 1.0], [np.nan, 1.0])
    with pytest.raises(PreprocessingError, match="real numbers, not complex128"):
        _value(MeanAbsoluteError(), [1j], [0.0])
