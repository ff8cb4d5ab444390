"""Whether a sample of latencies has two modes.

A density that falls and then rises again has two modes, whatever its shape. Of a density with one, an interval holds at
least as much as an equally wide one to its left, or as one to its right; so a valley's count, given the sum of both, is
binomial with at least one half. The valley must be too empty by that test against both sides, at a level that is
shared among all places where a valley was looked for.

Sources: L. Dümbgen, G. Walther, "Multiscale inference about a density", Annals of Statistics 36(4), 2008 (modes are
shown by significant rises and falls of the density); H. Chernoff, "A measure of asymptotic efficiency for tests of a
hypothesis based on the sum of observations", Annals of Mathematical Statistics 23(4), 1952 (the bound of the binomial's
tail).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.001
"""Chance of finding two modes in independent samples of one."""
FEWEST_SAMPLES = 100
MOST_BINS = 24
FEWEST_BINS = 5
TRIMMED = 0.01
"""Share of the samples left out at either end: a handful of stragglers is no mode."""
SMALLEST_SHARE = 0.10
SMALLEST_DISTANCE = 0.05
"""Of the slower mode from the faster one: nearer ones matter to nobody."""
DEEPEST = 0.5
"""The valley holds at most so much of the lower side's count: a dent is no valley, however sure it is."""
_STEPS_A_BIN = 4


@dataclass(frozen=True)
class TwoModes:
    """Where they lie, in seconds, and the share of calls in the slower one."""

    fast: float
    slow: float
    slow_share: float


def _log_tail(valley: NDArray[Any], side: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithm of a bound of ``P[Binomial(valley + side, 1/2) <= valley]``, by Chernoff; 0 where valley >= side."""
    # At least 1, so that two empty bins do not divide by zero.
    total = np.maximum(valley + side, 1)
    share = valley / total
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(share > 0, share * np.log(2 * share), 0) + (1 - share) * np.log(2 * (1 - share))
    return np.where(valley < side, -total * entropy, 0.0)


def _bins(logs: NDArray[np.float64], step: float) -> int:
    """As many as leave a bin some 20 samples, and are wider than what the clock can tell apart."""
    span = float(logs[-1] - logs[0])
    finest = math.log1p(_STEPS_A_BIN * step / math.exp(logs[0]))
    by_clock = int(span / finest) if finest > 0 else MOST_BINS
    return min(MOST_BINS, len(logs) // 20, by_clock)


def two_modes(samples: NDArray[np.integer[Any]], *, step: float = 0.0) -> TwoModes | None:
    """The two modes of a sample, or ``None`` where one explains it.

    The samples' logarithms are looked at, so that a long tail does not decide how fine the look is.

    :param samples: ns, shape ``(n,)``, any order.
    :param step: the clock's resolution in seconds; a histogram finer than that has valleys of its own.
    """
    if len(samples) < FEWEST_SAMPLES:
        return None
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    trimmed = int(TRIMMED * len(ordered))
    ordered = ordered[trimmed : len(ordered) - trimmed]
    # A call that ended within one step of the clock reads 0, which has no logarithm.
    if not ordered[0] > 0:
        return None
    logs = np.log(ordered)
    bins = _bins(logs, step * 1e9)
    if bins < FEWEST_BINS:
        return None
    counts, edges = np.histogram(logs, bins=bins)
    # Bonferroni: a valley and its two sides could be any three of the bins.
    level = math.log(LEVEL / math.comb(bins, 3))
    best: tuple[float, int] | None = None
    for valley in range(1, bins - 1):
        sides = np.array([counts[:valley].max(), counts[valley + 1 :].max()])
        if counts[valley] > DEEPEST * sides.min():
            continue
        # The larger of the two: the valley must be too empty against both sides.
        sure = float(_log_tail(counts[valley], sides).max())
        if sure <= level and (best is None or sure < best[0]):
            best = (sure, valley)
    if best is None:
        return None
    cut = math.exp((edges[best[1]] + edges[best[1] + 1]) / 2)
    fast, slow = ordered[ordered < cut], ordered[ordered >= cut]
    share = len(slow) / len(ordered)
    lower, upper = float(np.median(fast)), float(np.median(slow))
    if min(share, 1 - share) < SMALLEST_SHARE or upper < lower * (1 + SMALLEST_DISTANCE):
        return None
    return TwoModes(lower / 1e9, upper / 1e9, share)
