"""The A/A floor: what nineteen of twenty pairs of one program stay within."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.gate.floors import FEWEST_PAIRS, LEAST, floor_of

PAIRS = st.lists(st.floats(-0.5, 0.5), min_size=FEWEST_PAIRS, max_size=200)


def _floor(pairs: list[float]) -> float:
    floor = floor_of(pairs)
    assert floor is not None
    return floor


@pytest.mark.slow
@given(PAIRS)
def test_nineteen_of_twenty_stay_within(pairs: list[float]) -> None:
    within = sum(abs(pair) <= math.log1p(_floor(pairs)) + 1e-12 for pair in pairs)
    assert within >= 0.95 * len(pairs)


@given(PAIRS, st.integers(0, 1000))
def test_neither_order_nor_which_side_is_called_the_baseline_matters(pairs: list[float], seed: int) -> None:
    other = [-pair for pair in pairs]
    random.Random(seed).shuffle(other)
    assert _floor(other) == _floor(pairs)


@given(PAIRS, st.floats(1, 3))
def test_more_noise_is_no_lower_floor(pairs: list[float], factor: float) -> None:
    assert _floor([pair * factor for pair in pairs]) >= _floor(pairs) >= LEAST


@pytest.mark.parametrize("n", [0, 1, FEWEST_PAIRS - 1])
def test_few_pairs_have_none(n: int) -> None:
    assert floor_of([0.01] * n) is None
