"""Queries that arrive by themselves, and when they are answered."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mlscope.host.arrivals import poisson_arrivals, serve, served_tensors


@given(st.floats(1, 5000), st.floats(0.01, 2), st.integers(0, 2**32 - 1))
def test_arrivals_are_ascending_seeded_and_within_the_window(rate: float, duration: float, seed: int) -> None:
    times = poisson_arrivals(rate, duration, seed)
    assert len(times)
    assert (np.diff(times) >= 0).all()
    assert len(times) == 1 or times[-1] < duration * 1e9
    np.testing.assert_array_equal(times, poisson_arrivals(rate, duration, seed))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gaps_are_exponential(seed: int) -> None:
    """A level of one in a million, because hypothesis looks a hundred times."""
    stats = pytest.importorskip("scipy.stats")
    gaps = np.diff(poisson_arrivals(1000.0, 3.0, seed)) / 1e9
    assert stats.kstest(gaps, "expon", args=(0, 1e-3)).pvalue > 1e-6


@given(st.floats(10, 1000), st.integers(0, 1000))
def test_twice_the_rate_is_the_same_pattern_in_half_the_time(rate: float, seed: int) -> None:
    slow, fast = poisson_arrivals(rate, 1.0, seed), poisson_arrivals(2 * rate, 0.5, seed)
    n = min(len(slow), len(fast))
    np.testing.assert_allclose(slow[:n], 2 * fast[:n], atol=2)


def _work(seconds: float) -> Callable[[], None]:
    def run() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return run


def test_every_query_is_answered_after_it_arrived() -> None:
    scheduled = poisson_arrivals(2000, 0.2, 0)
    served = serve({1: _work(0.0001)}, scheduled, 10.0)
    assert served.unanswered == 0
    assert (served.issued >= served.scheduled).all()
    assert (served.completed > served.issued).all()
    assert (served.completed - served.issued >= 100_000).all()
    assert served.batch_sizes.sum() == len(scheduled)
    assert (served.noticed_late >= 0).all()


def test_latency_counts_from_the_scheduled_arrival() -> None:
    """Three queries at once: the last one waits for two predictions, which is part of its latency."""
    served = serve({1: _work(0.002)}, np.zeros(3, np.int64), 10.0)
    latencies = served_tensors(served)["samples_ns"]
    assert latencies[2] >= 6_000_000
    assert served_tensors(served)["queued_ns"][2] >= 4_000_000


def test_queries_that_wait_together_are_predicted_together() -> None:
    served = serve({1: _work(0), 2: _work(0), 4: _work(0)}, np.zeros(7, np.int64), 10.0)
    assert served.batch_sizes.tolist() == [4, 2, 1]


def test_a_rate_that_cannot_be_kept_ends_at_the_limit() -> None:
    served = serve({1: _work(0.01)}, np.zeros(1000, np.int64), 0.05)
    assert served.unanswered > 900
    assert len(served.completed) + served.unanswered == 1000


@pytest.mark.parametrize(("rate", "duration"), [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_a_rate_or_duration_of_nothing_is_refused(rate: float, duration: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        poisson_arrivals(rate, duration, 0)


def test_a_fixed_batch_is_filled_up() -> None:
    """Three queries at once on a model that takes two: the second prediction answers one."""
    served = serve({2: _work(0)}, np.zeros(3, np.int64), 1.0)
    assert served.batch_sizes.tolist() == [2, 1]
    assert len(served.completed) == 3


def test_without_a_prediction_nothing_is_served() -> None:
    with pytest.raises(ValueError, match="needs queries, and a prediction"):
        serve({}, np.zeros(3, np.int64), 1.0)
