"""The server scenario: queries arrive when they arrive, whether or not the model keeps up.

Source: MLPerf Inference Rules, "Server" scenario: Poisson arrivals, seeded; a query's latency counts from its scheduled
arrival. V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section 4.
"""

import gc
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple

import numpy

SPIN_SECONDS = 0.0005
"""The clock is watched for the last half millisecond before an arrival: a sleeping process is woken too late."""


class Served(NamedTuple):
    """What became of the queries, in order of arrival; ns since the first moment of the window, int64, ``(n,)``."""

    scheduled: numpy.ndarray
    issued: numpy.ndarray
    """When the query was taken up: its arrival, unless an earlier prediction was still under way."""
    completed: numpy.ndarray
    noticed_late: numpy.ndarray
    """ns by which an arrival was noticed late with nothing under way, shape ``(m,)``: the error of the loop itself."""
    batch_sizes: numpy.ndarray
    """Queries in each prediction, shape ``(predictions,)``."""
    unanswered: int
    """Queries scheduled within the window that the time limit left without an answer."""


def poisson_arrivals(rate: float, duration: float, seed: int) -> numpy.ndarray:
    """Arrival times of a Poisson process: gaps are independent and exponential.

    >>> poisson_arrivals(rate=100.0, duration=0.02, seed=1).tolist()
    [5396058, 18137310, 18138454]

    :param rate: queries a second.
    :param duration: seconds.
    :return: ns, int64, ascending, shape ``(n,)``; at least one.
    :raises ValueError: when rate or duration is not positive.
    """
    if not rate > 0 or not duration > 0:
        raise ValueError("rate {!r} and duration {!r} must be more than 0".format(rate, duration))
    # RandomState's stream is the same in every version of numpy.
    random = numpy.random.RandomState(seed)
    expected = rate * duration
    # A Poisson count has the standard deviation sqrt(expected): eight of them above, times practically never run out.
    count = int(expected + 8 * expected**0.5 + 16)
    times = numpy.cumsum(random.exponential(1.0 / rate, count))
    within = times[times < duration] if times[0] < duration else times[:1]
    return (within * 1e9).astype(numpy.int64)


def _clock_ns() -> Callable[[], int]:
    if hasattr(time, "perf_counter_ns"):
        return time.perf_counter_ns
    return lambda: int(time.perf_counter() * 1e9)


def serve(runs: Mapping[int, Callable[[], Any]], scheduled: numpy.ndarray, limit_seconds: float) -> Served:
    """Answer queries in order, one prediction at a time; those that wait together are predicted together.

    :param runs: number of queries to the prediction that answers as many. The largest number that is not more than
        those waiting is taken; where there is none, the smallest, whose batch is then filled up.
    :param scheduled: ns since the start, int64, ascending, shape ``(n,)``.
    :param limit_seconds: after so long, what waits is left unanswered.
    :raises ValueError: without queries or predictions.
    """
    if not runs or not len(scheduled):
        raise ValueError("needs queries, and a prediction that answers them")
    sizes = sorted(runs, reverse=True)
    # Python's integers: numpy's would be made anew at each access, inside the timed loop.
    arrivals = scheduled.tolist()
    total = len(arrivals)
    issued = numpy.zeros(total, numpy.int64)
    completed = numpy.zeros(total, numpy.int64)
    late = []
    batch_sizes = []
    clock, sleep = _clock_ns(), time.sleep
    limit = int(limit_seconds * 1e9)
    spin = int(SPIN_SECONDS * 1e9)
    # A collection in the middle of a query would count as the model's latency.
    collecting = gc.isenabled()
    gc.disable()
    answered = 0
    try:
        start = clock()
        while answered < total:
            arrival = arrivals[answered]
            now = clock() - start
            if arrival > limit:
                break
            if now < arrival:
                if arrival - now > 2 * spin:
                    sleep((arrival - now - spin) / 1e9)
                now = clock() - start
                # No sleep here: it ends when the scheduler pleases.
                while now < arrival:
                    now = clock() - start
                late.append(now - arrival)
            if now > limit:
                break
            waiting = 1
            while answered + waiting < total and waiting < sizes[0] and arrivals[answered + waiting] <= now:
                waiting += 1
            size = next((size for size in sizes if size <= waiting), sizes[-1])
            runs[size]()
            end = clock() - start
            together = min(size, waiting)
            issued[answered : answered + together] = now
            completed[answered : answered + together] = end
            batch_sizes.append(together)
            answered += together
    finally:
        if collecting:
            gc.enable()
    return Served(
        scheduled=scheduled[:answered],
        issued=issued[:answered],
        completed=completed[:answered],
        noticed_late=numpy.asarray(late, numpy.int64),
        batch_sizes=numpy.asarray(batch_sizes, numpy.int64),
        unanswered=total - answered,
    )


def served_tensors(served: Served) -> Dict[str, numpy.ndarray]:
    """As the reply carries it: ``samples_ns`` is each query's latency from its scheduled arrival."""
    return {
        "samples_ns": served.completed - served.scheduled,
        "queued_ns": served.issued - served.scheduled,
        "scheduled_ns": served.scheduled,
        "noticed_late_ns": served.noticed_late,
        "batch_sizes": served.batch_sizes,
    }
