"""The highest rate of arrivals that meets a bound: bisection over short trials, then a run that confirms it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

PRECISION = 0.02
"""Bisection ends when what is known to be met and what is known not to be lie so close, relative to the latter."""
STEP_DOWN = 0.95
"""What a rate that was not confirmed is multiplied by for the next attempt."""
LEAST_SHARE = 0.02
"""Of the capacity; at a rate below, hardly a query waits, and a latency too long is that of a lone prediction."""


class Judged(Protocol):
    """One attempt at a rate."""

    @property
    def met(self) -> bool:
        """Whether the rate was kept and the bound met."""


Attempt = TypeVar("Attempt", bound=Judged)


def search_rate(
    attempt: Callable[[float, bool], Attempt],
    *,
    capacity: float,
    budget: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Attempt, list[Attempt]]:
    """Search; a confirming run that misses the bound sends the search on below it.

    :param attempt: takes a rate and whether to confirm it, which takes longer than to try it.
    :param capacity: the rate that no queue outlasts: predictions a second, back to back. It is not tried.
    :param budget: seconds after which no further rate is tried; the run under way and the confirming one are finished.
    :return: the last run, which is the highest rate confirmed where it is met, and every attempt before it.
    """
    end = clock() + budget
    attempts: list[Attempt] = []
    low, high = 0.0, capacity
    while high - low > PRECISION * high and high > LEAST_SHARE * capacity and clock() < end:
        rate = (low + high) / 2
        attempts.append(attempt(rate, False))
        if attempts[-1].met:
            low = rate
        else:
            high = rate
    rate = low or high / 2
    while True:
        confirming = attempt(rate, True)
        if confirming.met or clock() >= end or rate < LEAST_SHARE * capacity:
            return confirming, attempts
        attempts.append(confirming)
        rate *= STEP_DOWN
