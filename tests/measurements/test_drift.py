"""A latency that drifts is told from one that scatters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.measurements.latency.drift import relative_drift, trend_p_value

scipy_stats = pytest.importorskip("scipy.stats")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=8, max_size=40))
def test_the_trend_agrees_with_kendalls_tau_of_scipy(values: list[int]) -> None:
    """Tau against time has the same null distribution; scipy's score has no continuity correction of 1."""
    if len(set(values)) < 2:
        assert trend_p_value(np.array(values, dtype=float)) == 1
        return
    theirs = scipy_stats.kendalltau(range(len(values)), values, method="asymptotic").pvalue
    ours = trend_p_value(np.array(values, dtype=float))
    score = abs(sum(np.sign(later - earlier) for place, earlier in enumerate(values) for later in values[place:]))
    corrected = scipy_stats.norm.isf(theirs / 2) * (score - 1) / score if score else 0.0
    assert ours == pytest.approx(2 * scipy_stats.norm.sf(corrected), rel=1e-6)


@pytest.mark.parametrize("change", [0.10, -0.10, 0.5])
def test_a_drift_is_found_and_measured(change: float) -> None:
    r = np.random.default_rng(0)
    samples = 12_200 * r.normal(1, 0.05, 2000) * np.linspace(1 - change / 2, 1 + change / 2, 2000)
    assert relative_drift(samples.astype(np.int64)) == pytest.approx(change, abs=0.04)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0.2, 2))
def test_the_slope_is_sens_as_scipy_has_it(seed: int, batch: int, rise: float) -> None:
    samples = 10_000 * np.linspace(1, 1 + rise, 20 * batch) + np.random.default_rng(seed).normal(0, 50, 20 * batch)
    medians = np.median(samples.astype(np.int64).reshape(20, batch), axis=1)
    slope = scipy_stats.theilslopes(medians, np.arange(20)).slope
    assert relative_drift(samples.astype(np.int64)) == pytest.approx(slope * 19 / np.median(medians))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(8, 40), st.integers(1, 100), st.integers(-1000, 1000))
def test_a_trend_knows_no_unit(seed: int, n: int, scale: int, shift: int) -> None:
    values = np.random.default_rng(seed).integers(0, 50, n).astype(float)
    assert trend_p_value(scale * values + shift) == trend_p_value(values)


@pytest.mark.parametrize("scatter", [0.01, 0.1, 0.5])
def test_noise_is_no_drift(scatter: float) -> None:
    r = np.random.default_rng(1)
    found = [relative_drift((12_200 * r.lognormal(0, scatter, 900)).astype(np.int64)) for _ in range(400)]
    assert sum(drift is not None for drift in found) <= 3


def test_a_drift_that_matters_to_nobody_is_none() -> None:
    samples = (1_000_000 * np.linspace(1, 1.02, 2000)).astype(np.int64)
    assert relative_drift(samples) is None


def test_small_and_empty_samples_say_nothing() -> None:
    assert relative_drift(np.array([], dtype=np.int64)) is None
    assert relative_drift(np.arange(1, 40)) is None
    assert relative_drift(np.zeros(100, dtype=np.int64)) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.integers(2, 1000))
def test_backwards_it_drifts_the_other_way_and_in_other_units_alike(seed: int, scale: int) -> None:
    r = np.random.default_rng(seed)
    samples = (12_200 * r.normal(1, 0.02, 800) * np.linspace(1, 1.2, 800)).astype(np.int64)
    forwards, backwards, scaled = map(relative_drift, (samples, samples[::-1], samples * scale))
    assert forwards is not None
    assert forwards > 0
    assert backwards == pytest.approx(-forwards)
    assert scaled == pytest.approx(forwards)
