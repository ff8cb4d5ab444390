"""One latency of several processes.

Two processes of one program differ by a per cent or two for as long as they live, and now and then by much more:
memory lies differently. So a median over processes stands for the program, and the spread between them says how far one
process alone can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_mlscope.measurements.latency.result import Latency, ProcessLatency, Restarts

SLOW_PROCESS = 0.10
"""How much slower than the middle one a process is that is worth a line."""


def _median(latency: Latency) -> float:
    """Seconds; a query without an answer took infinitely long."""
    unanswered = latency.unanswered
    return float(np.median(np.append(latency.samples_ns, [np.inf] * unanswered))) / 1e9


def summarise_restarts(latencies: Sequence[Latency]) -> Restarts:
    """:param latencies: one a process, at least one, in the order measured."""
    processes = [
        ProcessLatency(
            median=_median(latency),
            relative_error=latency.relative_error,
            n=len(latency.samples_ns),
            stop_reason=latency.stop_reason,
            load_seconds=latency.load_seconds,
            peak_memory=latency.peak_memory,
        )
        for latency in latencies
    ]
    # Of an even number the faster of the two in the middle: what is shown must be a process that ran.
    order = sorted(range(len(processes)), key=lambda index: processes[index].median)
    return Restarts(processes, shown=order[(len(order) - 1) // 2])


def restart_warnings(restarts: Restarts) -> list[str]:
    """Processes that were slow for their whole life."""
    middle = float(np.median(restarts.medians))
    # Infinite where most queries had no answer: nothing can be slower than that.
    if not 0 < middle < np.inf:
        return []
    slow = int((restarts.medians > middle * (1 + SLOW_PROCESS)).sum())
    if not slow:
        return []
    worst = (restarts.slowest / middle - 1) * 100
    return [
        f"{slow} of {len(restarts.processes)} processes ran up to {worst:.0f}% slower than the middle one for their "
        "whole life; users meet such processes too"
    ]
