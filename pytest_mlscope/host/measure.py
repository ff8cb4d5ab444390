"""The timed loop: warm up until steady, then time single calls until their median is known well enough."""

import array
import gc
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy

from pytest_mlscope.host.order_statistics import PERCENTILES, median_relative_error, minimum_samples
from pytest_mlscope.host.sensors import read_sensors

WARMUP_BLOCK_SECONDS = 0.005
"""What a block of calls should last while they still become faster."""
BLOCK_SECONDS = 0.02
"""... and in the window: calls just after the bookkeeping between two blocks find caches cold, so that these should be
few, and any budget long against a block."""
MINIMUM_WINDOW_SECONDS = 0.1
"""No window is called steady before this, or half the budget if that is less: a shorter one sees a single moment of
the machine, whatever its interval says."""
HARD_MINIMUM_CALLS = 3
"""Timed calls made even when the first of them exceeds the budget."""
MAXIMUM_SAMPLES = 2000000
"""Timed calls after which a window ends like one whose budget has; 16 MB of samples."""
STEADY_BLOCKS = 3
STEADY_WITHIN = 0.05
"""Warm-up is over when the medians of this many blocks lie within this fraction of the smallest."""
STILL_FALLING = 0.01
"""... and do not each fall below the one before, by more than this fraction in all."""
CHECK_GROWTH = 1.1
"""Convergence is looked at each time the sample has grown by this factor, so that looking costs little and the
interval, which is for one look, is not tried at every call until it happens to be narrow."""


class Measured(NamedTuple):
    """A warmed-up and measured callable."""

    samples: numpy.ndarray
    """ns of each timed call, int64, shape ``(n,)``, in the order measured."""
    relative_error: Optional[float]
    """Of their median, see :func:`~pytest_mlscope.host.order_statistics.median_relative_error`."""
    stop_reason: str
    """``steady`` or ``budget``."""
    window_seconds: float
    """Wall time from the first timed call to the end of the last, with the bookkeeping between blocks."""
    first_call_seconds: float
    warmup_calls: int
    """The first call included."""
    warmup_seconds: float
    """The first call included."""
    warmup_reason: str
    """``steady`` or ``budget``."""
    sensors: List[Dict[str, Any]]
    """:func:`~pytest_mlscope.host.sensors.read_sensors` just before and just after the window."""


def _time_calls_ns(run: Callable[[], Any], samples: "array.array[int]") -> None:
    clock = time.perf_counter_ns
    for i in range(len(samples)):
        start = clock()
        run()
        end = clock()
        samples[i] = end - start


def _time_calls_seconds(run: Callable[[], Any], samples: "array.array[int]") -> None:
    # Python 3.6 has no perf_counter_ns. A double still resolves less than a nanosecond after 50 days of uptime.
    clock = time.perf_counter
    for i in range(len(samples)):
        start = clock()
        run()
        end = clock()
        samples[i] = int((end - start) * 1e9)


# Chosen once: to choose in the loop would be part of what is timed.
_time_calls = _time_calls_ns if hasattr(time, "perf_counter_ns") else _time_calls_seconds


def time_block(run: Callable[[], Any], calls: int) -> numpy.ndarray:
    """Time ``calls`` calls one by one, with the garbage collector off.

    :return: ns of each, int64, shape ``(calls,)``.
    """
    # Allocated before the first call: a list that grows would allocate between calls.
    samples = array.array("q", bytes(8 * calls))
    collecting = gc.isenabled()
    gc.disable()
    try:
        _time_calls(run, samples)
    finally:
        if collecting:
            gc.enable()
    return numpy.frombuffer(samples, dtype=numpy.int64)


def calls_in(seconds: float, call_ns: float) -> int:
    """How many calls fill so many seconds; one at least."""
    # A call that ends between two ticks of the clock reads 0.
    return int(max(seconds * 1e9 / max(call_ns, 100.0), 1))


def _is_steady(blocks: List[numpy.ndarray]) -> bool:
    if len(blocks) < STEADY_BLOCKS:
        return False
    latest = blocks[-STEADY_BLOCKS:]
    medians = [float(numpy.median(block)) for block in latest]
    smallest = min(medians)
    # Where calls themselves scatter by more, as on a shared machine, their medians cannot be held to less.
    scatter = max(float(numpy.subtract(*numpy.percentile(block, [75, 25]))) for block in latest)
    if max(medians) - smallest > max(STEADY_WITHIN * smallest, scatter):
        return False
    falls_each_time = all(later < earlier for earlier, later in zip(medians, medians[1:]))
    return not (falls_each_time and medians[0] - medians[-1] > STILL_FALLING * medians[0])


def _wanted_samples(call_ns: float, budget: float, highest: float) -> int:
    """The sample that supports as many percentiles, up to the highest wanted, as the budget has room for."""
    wanted = (minimum_samples(percentile) for percentile in PERCENTILES if percentile <= highest)
    fitting = [n for n in wanted if n * call_ns <= budget * 1e9]
    return max(fitting) if fitting else 0


class WarmUp(NamedTuple):
    """A warm-up that is over."""

    calls: int
    """The first call included."""
    seconds: float
    """The first call included."""
    reason: str
    """``steady`` or ``budget``."""
    first_call_seconds: float
    call_ns: float
    """Median of the latest block."""


def warm_up(run: Callable[[], Any], *, warmup_budget: float) -> WarmUp:
    """Call until steady: the first call, then blocks of about 5 ms until the medians of three in a row lie within 5 %
    of each other (or within the calls' own interquartile range) and no longer fall, or until ``warmup_budget`` has
    passed since the first call; so two calls at least. The first call may compile or allocate, and counts against no
    budget.

    :param run: one prediction, finished when it returns. What it raises propagates.
    :param warmup_budget: seconds.
    """
    clock = time.perf_counter
    began = clock()
    first = time_block(run, 1)
    blocks: List[numpy.ndarray] = []
    call_ns = float(first[0])
    start = clock()
    while True:
        left = warmup_budget - (clock() - start)
        blocks.append(time_block(run, calls_in(min(WARMUP_BLOCK_SECONDS, left), call_ns)))
        call_ns = float(numpy.median(blocks[-1]))
        if _is_steady(blocks):
            reason = "steady"
            break
        if clock() - start >= warmup_budget:
            reason = "budget"
            break
    return WarmUp(1 + sum(map(len, blocks)), clock() - began, reason, float(first[0]) / 1e9, call_ns)


def measure(
    run: Callable[[], Any],
    *,
    budget: float,
    relative_error: float,
    warmup_budget: float,
    min_calls: int = 11,
    highest_percentile: float = 99.0,
) -> Measured:
    """Warm up, as of :func:`warm_up`, and measure a callable.

    Window: blocks of about 20 ms of calls timed one by one. It ends as ``steady`` when the median's relative error is
    at most ``relative_error``, there are ``min_calls``, all percentiles up to ``highest_percentile`` that fit into the
    budget are supported, and 0.1 s (half the budget if that is less) have passed; else as ``budget``, when another call
    would go beyond it. At least three calls are timed, whatever they last.

    :param run: one prediction, finished when it returns. What it raises propagates.
    :param budget: seconds the window may last.
    :param relative_error: half-width of the median's 95 % interval, relative to it, that is small enough.
    :param warmup_budget: seconds the warm-up may last after the first call.
    :param min_calls: timed calls before the window may end as ``steady``.
    :param highest_percentile: the window is not prolonged for one beyond it.
    :raises ValueError: when a limit is not positive.
    """
    for name, value in (
        ("budget", budget),
        ("relative_error", relative_error),
        ("warmup_budget", warmup_budget),
        ("min_calls", min_calls),
    ):
        if not value > 0:
            raise ValueError("{} is {!r}; it must be more than 0".format(name, value))

    clock = time.perf_counter
    warmed = warm_up(run, warmup_budget=warmup_budget)
    call_ns = warmed.call_ns
    blocks: List[numpy.ndarray] = []
    n = 0
    next_check = min_calls
    # Before the clock starts: reading them takes longer than a call of a fast model.
    before = read_sensors()
    start = clock()
    while True:
        elapsed = clock() - start
        left = budget - elapsed
        if n >= HARD_MINIMUM_CALLS and (left * 1e9 < call_ns or n >= MAXIMUM_SAMPLES):
            stop_reason = "budget"
            samples = numpy.concatenate(blocks)
            error = median_relative_error(samples)
            break
        if n >= next_check and elapsed >= min(MINIMUM_WINDOW_SECONDS, 0.5 * budget):
            samples = numpy.concatenate(blocks)
            next_check = int(CHECK_GROWTH * n) + 1
            error = median_relative_error(samples)
            # Of all samples: the latest block alone may have met a slow moment.
            call_ns = float(numpy.median(samples))
            if (
                error is not None
                and error <= relative_error
                and n >= _wanted_samples(call_ns, budget, highest_percentile)
            ):
                stop_reason = "steady"
                break
        # No longer than what is left, so that the last block does not run far beyond the budget.
        blocks.append(time_block(run, calls_in(min(BLOCK_SECONDS, left), call_ns)))
        call_ns = float(numpy.median(blocks[-1]))
        n += len(blocks[-1])

    after = read_sensors()
    return Measured(
        samples=samples,
        relative_error=error,
        stop_reason=stop_reason,
        window_seconds=elapsed,
        first_call_seconds=warmed.first_call_seconds,
        warmup_calls=warmed.calls,
        warmup_seconds=warmed.seconds,
        warmup_reason=warmed.reason,
        sensors=[before, after],
    )
