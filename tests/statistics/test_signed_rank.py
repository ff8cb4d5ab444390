"""Wilcoxon's signed-rank test: exact, and what follows from exchangeable sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.statistics.signed_rank import interval, probability_above

VALUES = st.lists(st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 6)), min_size=1, max_size=40)
DISTINCT = st.lists(
    st.integers(-(10**7), 10**7).filter(bool).map(lambda x: x / 1e6), min_size=1, max_size=40, unique_by=abs
)


@settings(deadline=None)  # the first example imports scipy
@given(DISTINCT)
def test_it_is_scipys_exact_test(values: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    assert probability_above(values) == pytest.approx(expected, rel=1e-9)


@given(VALUES, st.randoms())
def test_the_order_of_values_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types st.randoms() as its strategy
    assert probability_above(shuffled) == probability_above(values)
    assert interval(shuffled, confidence=0.9) == interval(values, confidence=0.9)


@given(VALUES, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    """Powers of two, so that scaling is exact."""
    assert probability_above([v * factor for v in values]) == probability_above(values)
    low, high = interval(values, confidence=0.9)
    assert interval([v * factor for v in values], confidence=0.9) == (low * factor, high * factor)


@given(st.lists(st.integers(-1000, 1000).map(lambda x: x / 64), min_size=1, max_size=40), st.integers(-20, 20))
def test_the_interval_moves_with_the_values(values: list[float], shift: int) -> None:
    """Sixty-fourths, so that sums are exact."""
    low, high = interval(values, confidence=0.9)
    assert interval([v + shift for v in values], confidence=0.9) == (low + shift, high + shift)


@given(DISTINCT)
def test_the_two_directions_share_the_probability_of_what_was_seen(values: list[float]) -> None:
    """P[V >= v] + P[V <= v] is 1 and P[V = v]: without ties, neither direction is favoured."""
    above, below = probability_above(values), probability_above([-v for v in values])
    assert 1 <= above + below <= 1 + 2 * 0.5 + 1e-12
    assert min(above, below) >= 0.5 ** len(values)


@given(VALUES, st.floats(0, 5))
def test_a_greater_shift_is_never_less_sure(values: list[float], shift: float) -> None:
    centre = -round(shift, 6)
    assert probability_above(values, centre) <= probability_above(values) + 1e-12


@given(DISTINCT.filter(lambda values: len(values) > 4))
def test_the_interval_holds_the_centres_that_are_not_rejected(values: list[float]) -> None:
    low, high = interval(values, confidence=0.9)
    outside = 1e-3 + 1e-3 * (high - low)
    assert probability_above(values, low - outside) <= 0.05
    assert probability_above([-v for v in values], -(high + outside)) <= 0.05


@given(VALUES)
def test_more_confidence_is_a_wider_interval(values: list[float]) -> None:
    narrow, wide = interval(values, confidence=0.8), interval(values, confidence=0.95)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


def test_a_few_values_bound_nothing_at_a_high_confidence() -> None:
    """Three values cannot reach 95 %, so the interval is infinite; eight can."""
    assert interval([0.1, 0.2, 0.3], confidence=0.95) == (-math.inf, math.inf)
    assert interval([0.1] * 8, confidence=0.95) == (0.1, 0.1)


def test_ties_and_zeros_never_make_it_surer() -> None:
    assert probability_above([0.0, 0.0, 0.0]) == 1.0
    assert probability_above([1.0, -1.0]) > probability_above([1.0, -0.999])


def test_exchangeable_sides_are_told_apart_as_rarely_as_stated() -> None:
    """Heavy tails too: the error rate follows from symmetry alone."""
    random = np.random.default_rng(0)
    rejected = sum(probability_above(random.standard_cauchy(9)) <= 0.05 for _ in range(2000))
    assert rejected / 2000 < 0.065


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf], [1.0] * 201])
def test_values_that_cannot_be_ranked_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"values|finite"):
        probability_above(values)


def test_a_confidence_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence"):
        interval([1.0], confidence=1.0)


@given(st.integers(1, 30), st.floats(0.001, 10))
def test_pairs_that_all_agree_are_twice_as_sure_with_each_further_one(n: int, value: float) -> None:
    """Under chance, each sign is a coin: n of one kind have 2**-n."""
    assert probability_above([value] * n) == pytest.approx(2.0**-n)
    assert probability_above([-value] * n) == 1.0
