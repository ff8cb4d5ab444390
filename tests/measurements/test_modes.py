"""Two modes are found where there are two, and not where there is one, whatever its shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_mlscope.measurements.latency.modes import two_modes

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

UNIMODAL: dict[str, Draw] = {
    "normal": lambda r, n: 12_200 * r.normal(1, 0.03, n),
    "skewed": lambda r, n: 12_200 * r.lognormal(0, 0.3, n),
    "heavy tail": lambda r, n: 12_200 * (1 + 0.2 * r.pareto(2.5, n)),
    "exponential": lambda r, n: 12_200 + r.exponential(3_000, n),
    "flat": lambda r, n: r.uniform(12_000, 18_000, n),
    "ticks of a coarse clock": lambda r, n: (1_000 + r.gamma(4, 60, n)) // 42 * 42,
    "a few stragglers": lambda r, n: np.where(r.random(n) < 0.05, 2, 1) * r.normal(12_200, 300, n),
}


def _two(r: np.random.Generator, n: int, *, share: float = 0.3, apart: float = 1.25) -> NDArray[np.int64]:
    drawn: NDArray[np.int64] = (np.where(r.random(n) < share, apart, 1) * r.normal(12_200, 300, n)).astype(np.int64)
    return drawn


@pytest.mark.parametrize("shape", UNIMODAL)
@pytest.mark.parametrize("n", [120, 800])
def test_false_alarms_are_rare(shape: str, n: int) -> None:
    """One of a thousand is the level: two of 300 samples would be surprising, three are a fault."""
    r = np.random.default_rng(1)
    found = sum(two_modes(UNIMODAL[shape](r, n).astype(np.int64), step=42e-9) is not None for _ in range(300))
    assert found <= 2


@pytest.mark.parametrize(("share", "apart"), [(0.3, 1.25), (0.5, 1.15), (0.15, 2.0)])
def test_two_modes_are_found_and_told(share: float, apart: float) -> None:
    r = np.random.default_rng(2)
    for _ in range(20):
        modes = two_modes(_two(r, 1500, share=share, apart=apart), step=42e-9)
        assert modes is not None
        assert modes.slow_share == pytest.approx(share, abs=0.05)
        assert modes.slow / modes.fast == pytest.approx(apart, rel=0.03)
        assert modes.fast == pytest.approx(12.2e-6, rel=0.03)


def test_small_samples_say_nothing() -> None:
    assert two_modes(np.array([], dtype=np.int64)) is None
    assert two_modes(_two(np.random.default_rng(0), 60)) is None


def test_calls_that_take_no_time_say_nothing() -> None:
    assert two_modes(np.zeros(1000, dtype=np.int64)) is None
    assert two_modes(np.full(1000, 7)) is None


def test_modes_that_the_clock_cannot_tell_apart_are_not_claimed() -> None:
    samples = _two(np.random.default_rng(3), 2000)
    assert two_modes(samples, step=42e-9) is not None
    assert two_modes(samples, step=3e-6) is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.integers(2, 1000))
def test_order_and_unit_do_not_matter(seed: int, scale: int) -> None:
    r = np.random.default_rng(seed)
    samples = _two(r, 600)
    found, shuffled = two_modes(samples), two_modes(r.permutation(samples))
    scaled = two_modes(samples * scale)
    assert found == shuffled
    assert found is not None
    assert scaled is not None
    assert scaled.slow / found.slow == pytest.approx(scale)
    assert scaled.slow_share == found.slow_share
