"""The two-sample test, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.statistics.kolmogorov_smirnov import two_sample_test

sizes = st.integers(20, 300)


@settings(deadline=None)
@given(sizes, sizes, st.floats(0, 1), st.integers(0, 1000))
def test_the_distance_is_the_largest_between_the_empirical_distributions(
    n: int, m: int, shift: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=n), generator.normal(shift, size=m)
    expected = max(abs(float((one <= x).mean() - (other <= x).mean())) for x in np.concatenate([one, other]))
    assert two_sample_test(one, other)[0] == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_the_probability_is_that_of_relabelled_values(shift: float) -> None:
    generator = np.random.default_rng(3)
    one, other = generator.normal(size=20), generator.normal(shift, size=20)
    distance, probability = two_sample_test(one, other)
    pooled = np.concatenate([one, other])
    as_far = [two_sample_test(*np.split(generator.permutation(pooled), 2))[0] >= distance - 1e-9 for _ in range(1000)]
    assert np.mean(as_far) == pytest.approx(probability, abs=0.05)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_it_knows_no_unit_and_no_order(seed: int, scale: float, shift: float) -> None:
    generator = np.random.default_rng(seed)
    one, other = generator.exponential(size=50), generator.exponential(size=70)
    assert two_sample_test(one, other) == pytest.approx(
        two_sample_test(generator.permutation(one) * scale + shift, other * scale + shift), rel=1e-6, abs=0.05
    )


@given(st.integers(0, 1000), st.integers(2, 5))
def test_more_of_the_same_difference_is_surer(seed: int, times: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = generator.exponential(size=50), generator.exponential(size=70)
    distance, probability = two_sample_test(one, other)
    further, surer = two_sample_test(np.tile(one, times), np.tile(other, times))
    assert further == pytest.approx(distance)
    assert surer <= probability + 1e-12


def test_another_distribution_is_told_from_the_same_one() -> None:
    generator = np.random.default_rng(0)
    gaps = generator.exponential(size=2000)
    assert two_sample_test(gaps, generator.exponential(size=2000))[1] > 0.01
    assert two_sample_test(gaps, generator.uniform(0, 2, size=2000))[1] < 1e-6


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="both samples"):
        two_sample_test(np.empty(0), np.ones(3))
