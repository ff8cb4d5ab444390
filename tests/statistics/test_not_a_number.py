"""Tests of hypotheses have no answer where a value is not a number: comparisons with NaN are false."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mlscope.statistics import rank_sum_p_value, sign_flip_p_value


def test_differences_must_be_finite() -> None:
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="a difference is not finite"):
            sign_flip_p_value(np.array([1.0, wrong]))


def test_values_to_rank_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="a value is NaN"):
        rank_sum_p_value([1.0], [2.0, math.nan])
    assert rank_sum_p_value([1.0], [math.inf]) == 0.5
