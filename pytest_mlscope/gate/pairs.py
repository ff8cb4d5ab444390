"""A pair: baseline and candidate in two fresh hosts, timed in alternating blocks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts import ReadyModel

BLOCK_SECONDS = 0.005
"""What a block should last: shorter than the bursts in which other work comes, longer than what starting it costs."""
MOST_BLOCKS = 16
FEWEST_BLOCKS = 6
PAIR_SECONDS = 0.3
"""What the blocks of a pair should last in all. Further ones tell ever less: processes differ more than blocks do."""


BASELINE, CANDIDATE = 0, 1
"""The sides of a pair."""


class SideError(Exception):
    """What one side of a pair raised."""

    def __init__(self, side: int, error: MlscopeError) -> None:
        super().__init__(str(error))
        self.side = side
        """``BASELINE`` or ``CANDIDATE``."""
        self.error = error


@contextmanager
def failures_of(side: int) -> Iterator[None]:
    """Within it, a side is at work. :raises SideError: for what it raises."""
    try:
        yield
    except MlscopeError as error:
        raise SideError(side, error) from error


@dataclass(frozen=True)
class Pair:
    """What one pair of processes gave."""

    baseline_seconds: float
    """Median over the blocks of their median call."""
    candidate_seconds: float
    log_ratio: float
    """Median, over the blocks that stood beside each other, of the log of candidate over baseline."""
    blocks: NDArray[np.float64]
    """Median call of each block in seconds, shape ``(blocks, 2)``: baseline, candidate."""
    load_seconds: tuple[float, float]
    peak_memory: tuple[int, int] | None
    """Bytes: peak resident memory since binding; ``None`` where a host cannot tell."""


class OpenBlocks:
    """A ready model with inputs bound and warm, which times blocks on request.

    :param slowdown: fraction by which each call is made to last longer; ``None`` leaves calls as they are.
    :raises HostError: when the framework fails.
    """

    def __init__(self, ready: ReadyModel, inputs: Mapping[str, NDArray[Any]], *, slowdown: float | None = None) -> None:
        self._ready = ready
        measurement = ready.plan.measurement
        opened = ready.host.open_blocks(
            inputs,
            batch_size=ready.case.batch_size,
            pad=ready.pads,
            warmup_budget=measurement.warmup_budget,
            slowdown=slowdown,
            timeout=ready.deadline,
        )
        self.timed_path = opened.timed_path
        self.call_seconds = opened.call_seconds
        self.peak_memory: int | None = None

    def median_call(self, calls: int) -> float:
        """Time so many calls; seconds of the median one."""
        block = self._ready.host.block(calls=calls, timeout=self._ready.deadline)
        self.peak_memory = block.peak_memory
        return float(np.median(block.samples_ns)) / 1e9


def _calls_and_blocks(call_seconds: float) -> tuple[int, int]:
    calls = max(1, round(BLOCK_SECONDS / call_seconds))
    # Two sides share the time of a pair.
    fitting = int(PAIR_SECONDS / (2 * calls * call_seconds))
    return calls, min(max(fitting, FEWEST_BLOCKS), MOST_BLOCKS)


def measure_pair(
    baseline: OpenBlocks, candidate: OpenBlocks, *, load_seconds: tuple[float, float], coin: random.Random
) -> Pair:
    """Time both sides in blocks of as many calls, one of each at a time; the coin says which comes first.

    :raises SideError: when a framework fails.
    """
    # Both sides get the same number of calls, so that each block median rests on equally many.
    calls, blocks = _calls_and_blocks(baseline.call_seconds)
    medians = np.empty((blocks, 2))
    for block in range(blocks):
        sides = [(BASELINE, baseline), (CANDIDATE, candidate)]
        # In a fixed order, a disturbance with a rhythm of its own could always meet the same side.
        if coin.random() < 0.5:
            sides.reverse()
        for column, side in sides:
            with failures_of(column):
                medians[block, column] = side.median_call(calls)
    # A call between two ticks of the clock reads 0, and says no more than that it was faster than a tick.
    medians = np.maximum(medians, 1e-9)
    memory = (baseline.peak_memory, candidate.peak_memory)
    return Pair(
        baseline_seconds=float(np.median(medians[:, 0])),
        candidate_seconds=float(np.median(medians[:, 1])),
        log_ratio=float(np.median(np.log(medians[:, 1] / medians[:, 0]))),
        blocks=medians,
        load_seconds=load_seconds,
        peak_memory=None if memory[0] is None or memory[1] is None else (memory[0], memory[1]),
    )
