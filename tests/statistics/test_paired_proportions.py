"""McNemar's exact test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.statistics.paired_proportions import PairedProportions, binomial_at_most

RIGHT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(deadline=None)  # the first example imports scipy
@given(st.integers(0, 300), st.data())
def test_the_binomial_is_counted_out(n: int, data: st.DataObject) -> None:
    """scipy's value is that of the sum of binomial coefficients."""
    k = data.draw(st.integers(0, n))
    assert binomial_at_most(k, n) == pytest.approx(sum(math.comb(n, i) for i in range(k + 1)) / 2**n, rel=1e-8)


@given(RIGHT)
def test_counts_add_up_and_rows_may_come_in_any_order(rows: list[tuple[bool, bool]]) -> None:
    counted = PairedProportions.count(*np.array(rows).T)
    assert counted == PairedProportions.count(*np.array(rows[::-1]).T)
    assert counted.n == len(rows)
    accuracies = np.array(rows).mean(axis=0)
    assert counted.difference == pytest.approx(accuracies[1] - accuracies[0])


@given(RIGHT)
def test_swapping_the_models_swaps_the_p_values(rows: list[tuple[bool, bool]]) -> None:
    a, b = np.array(rows).T
    one, other = PairedProportions.count(a, b), PairedProportions.count(b, a)
    assert (one.p_worse, one.p_better) == (other.p_better, other.p_worse)


@given(st.integers(0, 200), st.integers(0, 200))
def test_one_more_loss_is_surer_and_one_more_gain_less_sure(losses: int, gains: int) -> None:
    p = PairedProportions(0, losses, gains, 0).p_worse
    assert PairedProportions(0, losses + 1, gains, 0).p_worse <= p <= PairedProportions(0, losses, gains + 1, 0).p_worse


@given(st.integers(1, 20), st.integers(1, 20))
def test_twice_the_rows_that_say_the_same_are_surer(more: int, gains: int) -> None:
    losses = gains + more
    once, twice = (PairedProportions(0, times * losses, times * gains, 0).p_worse for times in (1, 2))
    assert twice < once


def test_rows_on_which_both_agree_say_nothing() -> None:
    assert (
        PairedProportions(1000, 8, 1, 1000).p_worse == PairedProportions(0, 8, 1, 0).p_worse == pytest.approx(10 / 512)
    )


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        PairedProportions.count(np.ones(3, bool), np.ones(4, bool))
