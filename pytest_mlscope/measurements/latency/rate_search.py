"""The highest rate of arrivals that meets a bound: bisection over short trials, then a run that confirms it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

PRECISION = 0.02
"""Bisection ends when what is known to be met and what is known not to be lie so close, relative to the latter."""
FIRST_STEP = 0.05
"""How far below a rate that was not confirmed the next is; each further step is twice as large."""
GREATEST_STEP = 0.5
SAFE_SHARE = 0.5
"""Of the highest rate that a trial met, what the last run is made at when there is time for no other."""
RESERVED_SHARE = 0.25
"""Of the budget, what trials leave to a confirming run at most: where runs are long, a coarse rate is of no use."""
LEAST_SHARE = 0.02
"""Of the capacity; at a rate below, hardly a query waits, and a latency too long is that of a lone prediction. Where
trials met a rate, of that rate: what fails so far below is not the rate's fault."""


class Judged(Protocol):
    """One attempt at a rate."""

    @property
    def met(self) -> bool:
        """Whether the rate was kept and the bound met."""


Attempt = TypeVar("Attempt", bound=Judged)


@dataclass(frozen=True)
class RateSearch(Generic[Attempt]):
    """A search that has ended."""

    attempts: Sequence[Attempt]
    """In order. The last is a confirming run: of the highest rate found, where it is met."""
    out_of_time: bool
    """Whether it was time that ended the search, before a rate was confirmed."""

    @property
    def found(self) -> Attempt:
        return self.attempts[-1]


def search_rate(
    attempt: Callable[[float, bool], Attempt],
    *,
    capacity: float,
    budget: float,
    run_seconds: Callable[[float], float],
    clock: Callable[[], float] = time.monotonic,
) -> RateSearch[Attempt]:
    """Search; a confirming run that misses the bound sends the search on below it, in steps that grow.

    :param attempt: takes a rate and whether to confirm it, which takes longer than to try it.
    :param capacity: the rate that no queue outlasts: predictions a second, back to back. It is not tried.
    :param budget: seconds. Trials leave time for a confirming run, within ``RESERVED_SHARE``. That run is made in any
        case; of those after it, the one that would end beyond the budget is the last, at ``SAFE_SHARE`` of what trials
        met.
    :param run_seconds: how long a confirming run at a rate takes.
    """
    end = clock() + budget
    attempts: list[Attempt] = []
    # At the capacity itself a queue grows for ever, so the answer lies below.
    low, high = 0.0, capacity
    while high - low > PRECISION * high and high > LEAST_SHARE * capacity:
        rate = (low + high) / 2
        # Time is left for the run that confirms: a rate that trials alone met is not reported.
        if clock() >= end - min(run_seconds(rate), RESERVED_SHARE * budget):
            break
        attempts.append(attempt(rate, False))
        if attempts[-1].met:
            low = rate
        else:
            high = rate
    # Where no trial met the bound, half of the lowest that failed is still worth a run.
    rate = best = low or high / 2
    least = LEAST_SHARE * (low or capacity)
    step, last = FIRST_STEP, False
    while True:
        attempts.append(attempt(rate, True))
        if attempts[-1].met or last or rate < least:
            return RateSearch(attempts, out_of_time=last and not attempts[-1].met)
        rate *= 1 - step
        # Growing, so that a search far too high ends after a few long runs.
        step = min(2 * step, GREATEST_STEP)
        if clock() + run_seconds(rate) > end:
            rate, last = min(rate, SAFE_SHARE * best), True
