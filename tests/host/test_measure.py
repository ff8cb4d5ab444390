"""The timed loop, on a clock that only the measured call moves: every rule is exact, nothing depends on the machine."""

from __future__ import annotations

import array
import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host import measure as measure_module
from pytest_mlscope.host.measure import HARD_MINIMUM_CALLS, MAXIMUM_SAMPLES, Measured, measure, time_block

MS = 1_000_000


class VirtualTime:
    """Stands in for the ``time`` module; ``calls`` is how often the model ran."""

    def __init__(self, durations_ns: Callable[[int], int]) -> None:
        self.now = 10**15
        self.calls = 0
        self._durations_ns = durations_ns

    def perf_counter_ns(self) -> int:
        return self.now

    def perf_counter(self) -> float:
        return self.now / 1e9

    def run(self) -> None:
        self.now += self._durations_ns(self.calls)
        self.calls += 1


Measure = Callable[..., tuple[Measured, VirtualTime]]


@pytest.fixture
def virtually(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Measures a model whose call number ``i`` takes ``durations_ns(i)``."""

    def run(durations_ns: Callable[[int], int], **limits: Any) -> tuple[Measured, VirtualTime]:
        clock = VirtualTime(durations_ns)
        monkeypatch.setattr(measure_module, "time", clock)
        defaults = {"budget": 1.0, "relative_error": 0.01, "warmup_budget": 1.0}
        return measure(clock.run, **{**defaults, **limits}), clock

    return run


def noisy(median_ns: int, relative: float = 0.02) -> Callable[[int], int]:
    """Durations that scatter about a median, the same for each call number."""
    values = np.random.default_rng(1).normal(1, relative, 4096) * median_ns
    return lambda i: max(int(values[i * 2654435761 % 4096]), 1)


def test_every_timed_call_is_in_the_samples_once_and_in_order(virtually: Measure) -> None:
    durations = noisy(2 * MS)
    measured, clock = virtually(durations)
    assert measured.samples.dtype == np.int64
    assert measured.warmup_calls + len(measured.samples) == clock.calls
    assert measured.samples.tolist() == [durations(i) for i in range(measured.warmup_calls, clock.calls)]


def test_times_add_up(virtually: Measure) -> None:
    """On a clock that stands still between calls, the parts are the whole."""
    measured, clock = virtually(noisy(MS))
    assert measured.window_seconds == pytest.approx(measured.samples.sum() / 1e9, abs=1e-6)
    assert measured.warmup_seconds + measured.window_seconds == pytest.approx((clock.now - 10**15) / 1e9, abs=1e-6)


def test_a_steady_model_stops_when_the_median_is_known_and_every_percentile_supported(virtually: Measure) -> None:
    measured, _ = virtually(noisy(100_000))
    assert measured.stop_reason == "steady"
    assert measured.warmup_reason == "steady"
    assert measured.relative_error is not None
    assert measured.relative_error <= 0.01
    assert 662 <= len(measured.samples) < 2000
    assert 0.1 <= measured.window_seconds < 0.2


def test_even_a_perfectly_steady_call_is_watched_for_a_while(virtually: Measure) -> None:
    """A 10 µs model has its 662 calls after 7 ms, which is one moment of a machine's life."""
    measured, _ = virtually(lambda i: 10_000)
    assert measured.stop_reason == "steady"
    assert measured.window_seconds >= 0.1


@pytest.mark.parametrize(("call_ms", "samples"), [(1, 662), (5, 130), (10, 64), (60, 11)])
def test_the_budget_decides_which_percentiles_are_worth_waiting_for(
    virtually: Measure, call_ms: int, samples: int
) -> None:
    """5 ms a call and 1 s: 200 calls, enough for p95 and out of reach of p99; waiting longer would buy nothing."""
    measured, _ = virtually(lambda i: call_ms * MS)
    assert measured.stop_reason == "steady"
    assert samples <= len(measured.samples) <= samples * 1.1 + 5


def test_a_noisy_model_uses_its_budget_and_says_so(virtually: Measure) -> None:
    measured, _ = virtually(noisy(MS, relative=0.5), relative_error=0.001)
    assert measured.stop_reason == "budget"
    assert measured.relative_error is not None
    assert measured.relative_error > 0.001
    assert 0.9 < measured.window_seconds <= 1.01


@pytest.mark.parametrize("budget", [0.001, 0.5, 1.0])
@pytest.mark.parametrize("call_ms", [0.05, 3, 300, 5000])
def test_the_window_is_bounded(virtually: Measure, budget: float, call_ms: float) -> None:
    """Three calls at least, and beyond those at most a few calls more than the budget holds."""
    measured, _ = virtually(noisy(int(call_ms * MS)), budget=budget)
    assert len(measured.samples) >= HARD_MINIMUM_CALLS
    assert measured.window_seconds <= max(budget, HARD_MINIMUM_CALLS * 1.1 * call_ms / 1e3) * 1.1


def test_a_call_longer_than_every_budget_runs_five_times(virtually: Measure) -> None:
    """Two calls of warm-up, three timed: the least there is, and the hard limit of what a slow model costs."""
    measured, clock = virtually(lambda i: 60_000 * MS)
    assert clock.calls == 5
    assert measured.warmup_calls == 2
    assert measured.warmup_reason == "budget"
    assert measured.stop_reason == "budget"
    assert measured.relative_error is None


def test_a_slow_first_call_is_set_apart(virtually: Measure) -> None:
    """A compiler may take 30 s in the first call; the second is a millisecond, and there is warm-up left for it."""
    measured, _ = virtually(lambda i: 30_000 * MS if i == 0 else MS)
    assert measured.first_call_seconds == 30
    assert measured.warmup_reason == "steady"
    assert measured.samples.max() == MS


def test_warm_up_waits_for_a_falling_latency(virtually: Measure) -> None:
    """Latency that falls from 3 to 1 ms by 2 % a call: within 5 % over three blocks, and settled at none of them."""
    measured, _ = virtually(lambda i: max(int(3 * MS * 0.98**i), MS))
    assert measured.warmup_reason == "steady"
    assert measured.samples.max() <= 1.03 * MS


@pytest.mark.slow
def test_warm_up_gives_up_at_its_budget(virtually: Measure) -> None:
    measured, _ = virtually(lambda i: int(10 * MS * 0.99**i), warmup_budget=0.2)
    assert measured.warmup_reason == "budget"
    assert 0.2 <= measured.warmup_seconds < 0.24


def test_calls_that_scatter_are_steady_within_their_own_scatter(virtually: Measure) -> None:
    """Block medians of a noisy 1 ms model differ by more than 5 % for ever; that is not warming up."""
    measured, _ = virtually(noisy(MS, relative=0.3))
    assert measured.warmup_reason == "steady"
    assert measured.warmup_calls < 100


def test_min_calls_holds_for_a_steady_end(virtually: Measure) -> None:
    """A latency that never varies still takes as many calls as were asked for."""
    measured, _ = virtually(lambda i: MS, budget=10.0, min_calls=5000)
    assert measured.stop_reason == "steady"
    assert len(measured.samples) >= 5000


def test_a_call_that_takes_no_time_ends(virtually: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock may be too coarse to see the call at all: the number of samples is bounded on its own."""
    monkeypatch.setattr(measure_module, "MAXIMUM_SAMPLES", 200_000)
    measured, _ = virtually(lambda i: 0)
    assert measured.stop_reason == "budget"
    assert 200_000 <= len(measured.samples) <= 300_000
    assert MAXIMUM_SAMPLES * 8 <= 16_000_000


@pytest.mark.parametrize("limit", ["budget", "relative_error", "warmup_budget", "min_calls"])
def test_limits_must_be_positive(virtually: Measure, limit: str) -> None:
    with pytest.raises(ValueError, match=f"{limit} is 0; it must be more than 0"):
        virtually(lambda i: MS, **{limit: 0})


@pytest.fixture
def collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_calls_are_timed_and_is_left_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    seen = []
    time_block(lambda: seen.append(gc.isenabled()), 3)
    assert seen == [False] * 3
    assert gc.isenabled() is enabled


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("failing_call", [0, 1, 500])
def test_what_a_call_raises_comes_through(failing_call: int) -> None:
    """In warm-up or window, with the collector back on: the host lives on and measures other models."""
    gc.enable()
    calls = iter(range(10**9))

    def run() -> None:
        if next(calls) == failing_call:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        measure(run, budget=1.0, relative_error=0.01, warmup_budget=0.1)
    assert gc.isenabled()


def test_the_clock_of_python_3_6_gives_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """That version has seconds as floats alone; durations come out within a nanosecond or so of rounding."""
    durations = noisy(MS)
    clock = VirtualTime(durations)
    monkeypatch.setattr(measure_module, "time", clock)
    samples = array.array("q", bytes(8 * 50))
    measure_module._time_calls_seconds(clock.run, samples)
    assert np.abs(np.array(samples) - [durations(i) for i in range(50)]).max() <= 130


def test_a_real_call_is_measured() -> None:
    """On the real clock: the samples fill the window, less the bookkeeping."""
    matrix = np.ones((64, 64), dtype=np.float32)
    measured = measure(lambda: matrix @ matrix, budget=0.1, relative_error=0.05, warmup_budget=0.05)
    assert measured.samples.min() > 0
    assert 0 < measured.samples.sum() / 1e9 <= measured.window_seconds
