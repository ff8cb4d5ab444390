"""Decides, pair by pair, whether one side is slower than the other.

A pair is two processes started afresh, one a side, timed in alternating blocks; its value is the log ratio of candidate
to baseline. Two processes of one program differ by a per cent or two for their whole life, and now and then by ten, so
that pairs, not blocks, are what is drawn independently, and only ranks of them are trusted.

The rule, after each pair:

- **regression**, early: every pair so far, at least three, lies above both the effect that matters and the A/A floor,
  which one pair in forty of the same program exceeds in this direction: by chance, once in 64,000 comparisons.
- **regression**: the median lies above the effect that matters, and the signed-rank test says at ``LEVEL`` that the
  ratio is not 1. Both must hold: the first keeps differences out that matter to nobody, the second those
  that are chance.
- **improved**: either of them, the other way round.
- **pass**: the signed-rank test says with ``SURE_PASS`` that the ratio is less than the effect that matters, in both
  directions.
- else the next pair is measured, and when time is up the comparison is **inconclusive**.

Looking after each pair costs error: the levels are per look, and were set by simulating pairs with normal bodies and
heavy tails, where false alarms stay below 1 % over all looks; ``mlscope audit`` measures both errors on the machine
itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_mlscope.records import Outcome
from pytest_mlscope.statistics import interval, probability_above

LEVEL = 0.008
"""P-value, two-sided, at which, in one look, a ratio counts as not 1; eight pairs that all agree reach it."""
SURE_PASS = 0.05
"""P-value at which, in one look, an effect that matters counts as excluded."""
EARLY_PAIRS = 3
EARLY_ERROR = 0.002
"""Chance of any early false alarm that is allowed in a whole run: more comparisons take more early pairs."""
DEFAULT_FLOOR = 0.10
"""A/A floor of a machine on which none was measured: a pair of the same program exceeds it seldom even when loaded."""
INTERVAL_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """What the pairs say."""

    outcome: Outcome
    ratio: float
    """Candidate over baseline: the exponential of the pairs' median log ratio."""
    interval: tuple[float, float]
    """95 % interval of the ratio, by signed ranks; 0 and infinity when there are too few pairs for one."""
    pairs: int
    p_value: float
    """Of "candidate and baseline are the same", against a difference in the direction seen."""
    early: bool = False
    """Whether every pair was so far out that fewer sufficed."""


def p_value(log_ratios: Sequence[float]) -> float:
    """One-sided p-value of "the sides are the same", in the direction seen, doubled for having looked which it is."""
    pairs = np.asarray(log_ratios, dtype=np.float64)
    return min(1.0, 2 * min(probability_above(pairs), probability_above(-pairs)))


def decide(
    log_ratios: Sequence[float],
    *,
    minimum_effect: float,
    floor: float = DEFAULT_FLOOR,
    last: bool = False,
    level: float = LEVEL,
    family: int = 1,
) -> Verdict | None:
    """The verdict, or ``None`` when another pair is needed.

    :param log_ratios: natural logarithms of candidate over baseline, one a pair, in the order measured.
    :param minimum_effect: the relative difference that matters: 0.03 for 3 %.
    :param floor: the relative difference that 95 % of pairs of the same program stay within.
    :param last: whether no other pair can be measured.
    :param level: p-value at which the ratio counts as not 1: what :func:`~pytest_mlscope.gate.multiplicity.holm_levels`
        leaves of :data:`LEVEL` where there are several comparisons.
    :param family: how many comparisons there are.
    :raises ValueError: for no pairs, or limits that are not positive.

    >>> decide([0.21, 0.19, 0.2], minimum_effect=0.03).outcome
    'regression'
    >>> decide([0.01, -0.01], minimum_effect=0.03) is None
    True
    """
    if not minimum_effect > 0 or not floor >= 0:
        raise ValueError(f"minimum_effect {minimum_effect!r} and floor {floor!r} must be positive")
    pairs = np.asarray(log_ratios, dtype=np.float64)
    matters = math.log1p(minimum_effect)
    out = max(matters, math.log1p(floor))
    p = p_value(log_ratios)
    median = float(np.median(pairs))
    # One A/A pair in forty lies beyond the floor on one side, and pairs are independent.
    early = EARLY_PAIRS + next(more for more in range(40) if family * 40.0 ** -(EARLY_PAIRS + more) <= EARLY_ERROR)

    def verdict(outcome: Outcome, *, at_once: bool = False) -> Verdict:
        low, high = interval(pairs, confidence=INTERVAL_CONFIDENCE)
        bounds = (math.exp(low), math.exp(high))
        return Verdict(outcome, math.exp(median), bounds, len(pairs), p, at_once)

    if len(pairs) >= early and pairs.min() > out:
        return verdict("regression", at_once=True)
    if len(pairs) >= early and pairs.max() < -out:
        return verdict("improved", at_once=True)
    if abs(median) > matters and p <= level:
        return verdict("regression" if median > 0 else "improved")
    if probability_above(-pairs, -matters) <= SURE_PASS and probability_above(pairs, -matters) <= SURE_PASS:
        return verdict("pass")
    return verdict("inconclusive") if last else None
