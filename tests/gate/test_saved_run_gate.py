"""Separate runs: the rank-sum test, and when a difference between two runs counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.gate.saved_run_gate import judge
from pytest_mlscope.statistics.rank_sum import rank_sum_p_value

values = st.lists(st.integers(0, 10**6), min_size=1, max_size=9, unique=True)


few = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(few, few)
def test_the_rank_sum_test_counts_all_ways_to_label_the_values(one: list[int], two: list[int]) -> None:
    """Ties count against the second sample: each of its values is moved down a little first."""
    placed = [*((value, 1) for value in one), *((value, 0) for value in two)]
    order = sorted(range(len(placed)), key=placed.__getitem__)
    ranks = {index: rank for rank, index in enumerate(order)}
    seen = sum(ranks[index] for index in range(len(one), len(placed)))
    sums = [sum(chosen) for chosen in itertools.combinations(range(len(placed)), len(two))]
    assert rank_sum_p_value(one, two) == pytest.approx(sum(each >= seen for each in sums) / len(sums))


@settings(deadline=None)
@given(values, values)
def test_p_values_are_between_0_and_1_and_order_does_not_matter(one: list[int], two: list[int]) -> None:
    p = rank_sum_p_value(one, two)
    assert 0 < p <= 1
    assert p == rank_sum_p_value(one[::-1], sorted(two))


@given(values, values, st.integers(2, 50), st.integers(-1000, 1000))
def test_ranks_know_no_unit(one: list[int], two: list[int], scale: int, shift: int) -> None:
    moved = ([scale * value + shift for value in side] for side in (one, two))
    assert rank_sum_p_value(*moved) == rank_sum_p_value(one, two)


@given(values, values, st.integers(1, 10**6))
def test_a_slower_second_sample_is_never_less_surely_slower(one: list[int], two: list[int], shift: int) -> None:
    assert rank_sum_p_value(one, [value + shift for value in two]) <= rank_sum_p_value(one, two) + 1e-12


@given(st.integers(1, 9), st.integers(1, 9))
def test_samples_that_do_not_overlap_are_surer_the_larger_they_are(n: int, m: int) -> None:
    """By counting: of all ways to choose which values are the second sample's, one is this extreme."""
    assert rank_sum_p_value(range(n), range(n, n + m)) == pytest.approx(1 / math.comb(n + m, n))


def test_an_empty_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="both samples need a value"):
        rank_sum_p_value([], [1])


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [
        (1.0, "pass"),
        (1.02, "pass"),
        (1.3, "inconclusive"),
        (0.7, "inconclusive"),
        (1.7, "regression"),
        (0.5, "improved"),
    ],
)
def test_of_single_processes_only_large_differences_count(ratio: float, outcome: str) -> None:
    verdict = judge([0.01], [0.01 * ratio], minimum_effect=0.03)
    assert verdict.outcome == outcome
    assert verdict.ratio == pytest.approx(ratio)
    assert verdict.p_value is None
    assert verdict.bound == pytest.approx(0.568, abs=0.001)


def _processes(seed: int, n: int = 7, factor: float = 1.0) -> list[float]:
    return list(factor * 0.01 * np.random.default_rng(seed).normal(1, 0.01, n))


def test_restarts_on_both_sides_tell_smaller_differences() -> None:
    assert judge(_processes(0), _processes(1, factor=1.2), minimum_effect=0.03).outcome == "regression"
    assert judge(_processes(0), _processes(1, factor=1 / 1.2), minimum_effect=0.03).outcome == "improved"
    assert judge(_processes(0), _processes(1, factor=1.07), minimum_effect=0.03).outcome == "inconclusive"
    assert judge(_processes(0), _processes(1), minimum_effect=0.03).outcome == "pass"


def test_restarts_on_one_side_alone_do_not() -> None:
    assert judge([0.01], _processes(1, factor=1.2), minimum_effect=0.03).outcome == "inconclusive"


def test_processes_that_scatter_widen_the_bound() -> None:
    wide = [0.01 * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.2)]
    verdict = judge(wide, [1.3 * value for value in wide], minimum_effect=0.03)
    assert verdict.bound > 0.5
    assert verdict.outcome == "inconclusive"


def test_more_comparisons_ask_for_more_processes() -> None:
    """Five against five reach 0.8 % at best, which is enough for one comparison and not for two."""
    one, two = _processes(0, 5), _processes(1, 5, factor=1.2)
    assert judge(one, two, minimum_effect=0.03, family=1).outcome == "regression"
    assert judge(one, two, minimum_effect=0.03, family=2).outcome == "inconclusive"


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 9), family=st.integers(1, 300))
def test_twice_the_time_is_a_regression_however_few_processes_and_many_comparisons(n: int, family: int) -> None:
    assert (
        judge(_processes(0, n), _processes(1, n, factor=2), minimum_effect=0.03, family=family).outcome == "regression"
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9), factor=st.floats(0.3, 3))
def test_swapping_the_runs_swaps_the_verdict(seed: int, n: int, factor: float) -> None:
    one, two = _processes(seed, n), _processes(seed + 1, n, factor)
    opposite = {"regression": "improved", "improved": "regression"}
    there, back = judge(one, two, minimum_effect=0.03), judge(two, one, minimum_effect=0.03)
    assert opposite.get(there.outcome, there.outcome) == back.outcome
    assert there.ratio == pytest.approx(1 / back.ratio)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(scale: float) -> None:
    one, two = _processes(3), _processes(4, factor=1.5)
    scaled = judge([scale * x for x in one], [scale * x for x in two], minimum_effect=0.03)
    assert scaled.outcome == judge(one, two, minimum_effect=0.03).outcome
