"""From raw outputs to probabilities and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from scipy import special

from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.postprocessing.classes import Argmax, Threshold, TopK
from pytest_mlscope.components.postprocessing.scores import Sigmoid, Softmax
from pytest_mlscope.errors import PreprocessingError

_LOGITS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-1e5, 1e5))


@given(_LOGITS)
def test_softmax_is_scipys_and_does_not_overflow(logits: np.ndarray[Any, Any]) -> None:
    """Large logits are common in untrained or random models: an overflow would turn them into NaN."""
    np.testing.assert_allclose(Softmax().apply_batch(logits), special.softmax(logits, axis=-1), atol=1e-12)


@given(_LOGITS)
def test_sigmoid_is_scipys_and_does_not_overflow(logits: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(Sigmoid().apply_batch(logits), special.expit(logits), atol=1e-12)


@pytest.mark.parametrize("step", [Softmax(), Sigmoid()])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_probabilities_keep_the_dtype(step: Any, dtype: str) -> None:
    assert step.apply_batch(np.zeros((2, 3), dtype=dtype)).dtype == dtype


def test_softmax_of_half_precision_sums_in_single() -> None:
    """The sum over 1000 classes is beyond float16's digits."""
    probabilities = Softmax().apply_batch(np.zeros((1, 1000), dtype=np.float16))
    np.testing.assert_allclose(probabilities.astype(np.float64), 1e-3, rtol=1e-3)


def test_softmax_works_along_the_axis_given() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_allclose(Softmax(axis=1).apply_batch(logits), special.softmax(logits, axis=1))


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.int8, np.uint8]),
        st.tuples(st.integers(1, 4), st.integers(1, 6)),
        elements=st.integers(0, 3),
    ),
    st.data(),
)
def test_top_k_is_a_stable_sort_downwards(scores: np.ndarray[Any, Any], data: st.DataObject) -> None:
    """Few distinct values make many ties; a tie must be broken the same way on every framework."""
    k = data.draw(st.integers(1, scores.shape[1]))
    expected = [
        [each for _, each in sorted((-int(score), each) for each, score in enumerate(row))][:k] for row in scores
    ]
    ranked = TopK(k=k).apply_batch(scores)
    assert ranked.tolist() == expected
    assert ranked.dtype == np.int64
    assert Argmax().apply_batch(scores).tolist() == [row[0] for row in expected]


def test_a_score_that_is_no_number_is_no_class() -> None:
    """As class 0 it would be counted right wherever the label is 0."""
    scores = np.array([[np.nan, 1.0, 2.0], [0.0, 1.0, np.inf]])
    assert TopK(k=3).apply_batch(scores).tolist() == [[-1, 2, 1], [2, 1, 0]]
    assert Argmax().apply_batch(scores).tolist() == [-1, 2]


@pytest.mark.parametrize("step", [Argmax(), TopK(k=1)])
def test_complex_scores_have_no_order(step: PostprocessingStep) -> None:
    with pytest.raises(PreprocessingError, match="real numbers, not complex64"):
        step.apply_batch(np.ones((1, 3), np.complex64))


@pytest.mark.parametrize(
    ("step", "batch", "message"),
    [
        (Softmax(axis=0), np.zeros((2, 3)), "step 'softmax': axis 0 is not a dimension of a sample"),
        (Softmax(), np.zeros(3), "step 'softmax': axis -1 is not a dimension of a sample"),
        (Argmax(axis=2), np.zeros((2, 3)), "step 'argmax': axis 2 is not"),
        (Softmax(), np.zeros((2, 3), dtype=np.int64), "step 'softmax': needs a floating-point output, not int64"),
        (Sigmoid(), np.zeros((2, 3), dtype=np.uint8), "step 'sigmoid': needs a floating-point output"),
        (TopK(k=4), np.zeros((2, 3)), "k is 4, but the output has 3 classes"),
        (TopK(k=1), np.zeros((2, 3, 1)), r"needs an output of shape \(batch, classes\)"),
    ],
)
def test_outputs_a_step_cannot_work_on_are_refused(step: Any, batch: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(PreprocessingError, match=message):
        step.apply_batch(batch)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1)])
def test_one_score_a_row_becomes_a_class(shape: tuple[int, ...]) -> None:
    scores = np.array([0.2, 0.5, 0.7, np.nan], dtype=np.float32).reshape(shape)
    classes = Threshold().apply_batch(scores)
    assert classes.dtype == np.int64
    assert classes.tolist() == [0, 0, 1, -1]
    assert Threshold(at=128).apply_batch(np.array([[127], [128], [129]], dtype=np.uint8)).tolist() == [0, 0, 1]


def test_a_threshold_that_is_not_a_number_is_refused() -> None:
    """No score is more than NaN: every row would be of class 0 without a word."""
    with pytest.raises(ValidationError, match="finite"):
        Threshold(at=float("nan"))


def test_several_scores_a_row_have_no_threshold() -> None:
    with pytest.raises(PreprocessingError, match=r"step 'threshold': needs one score a row, not .* \(2, 3\)"):
        Threshold().apply_batch(np.zeros((2, 3)))
