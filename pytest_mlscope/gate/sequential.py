"""Decides, pair by pair, whether one side is slower than the other.

A pair is two processes started afresh, one a side, timed in alternating blocks; its value is the log ratio of candidate
to baseline. Two processes of one program differ by a per cent or two for their whole life, and now and then by ten, so
that pairs, not blocks, are what is drawn independently, and only ranks of them are trusted.

The rule, after each pair:

- **regression**, early: every pair so far, at least three, lies above both the effect that matters and the A/A floor,
  which one pair in forty of the same program exceeds in this direction: by chance, once in 64,000 comparisons.
- **regression**: the median lies above the effect that matters, and the signed-rank test says with ``SURE_REGRESSION``
  that the ratio is above 1. Both must hold: the first keeps differences out that matter to nobody, the second those
  that are chance.
- **improved**: either of them, the other way round.
- **pass**: the signed-rank test says with ``SURE_PASS`` that the ratio is less than the effect that matters, in both
  directions.
- else the next pair is measured, and when time is up the comparison is **inconclusive**.

Looking after each pair costs: the levels are per look, and were set by simulating pairs with normal bodies and heavy
tails (see ``benchmarks/``), where false alarms stay below 1 % over all looks; ``mlscope audit`` measures both errors on
the machine itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pytest_mlscope.gate.signed_rank import interval, probability_above

Outcome = Literal["pass", "regression", "improved", "inconclusive"]

SURE_REGRESSION = 0.004
"""P-value at which, in one look, a ratio counts as not 1; eight pairs that all agree reach it."""
SURE_PASS = 0.05
"""P-value at which, in one look, an effect that matters counts as excluded."""
EARLY_PAIRS = 3
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


def decide(
    log_ratios: Sequence[float], *, minimum_effect: float, floor: float = DEFAULT_FLOOR, last: bool = False
) -> Verdict | None:
    """The verdict, or ``None`` when another pair is needed.

    :param log_ratios: natural logarithms of candidate over baseline, one a pair, in the order measured.
    :param minimum_effect: the relative difference that matters: 0.03 for 3 %.
    :param floor: the relative difference that 95 % of pairs of the same program stay within.
    :param last: whether no other pair can be measured.
    :raises ValueError: for no pairs, or limits that are not positive.
    """
    if not minimum_effect > 0 or not floor >= 0:
        raise ValueError(f"minimum_effect {minimum_effect!r} and floor {floor!r} must be positive")
    pairs = np.asarray(log_ratios, dtype=np.float64)
    matters = math.log1p(minimum_effect)
    out = max(matters, math.log1p(floor))
    above, below = probability_above(pairs), probability_above(-pairs)
    median = float(np.median(pairs))

    def verdict(outcome: Outcome, *, early: bool = False) -> Verdict:
        low, high = interval(pairs, confidence=INTERVAL_CONFIDENCE)
        bounds = (math.exp(low), math.exp(high))
        return Verdict(outcome, math.exp(median), bounds, len(pairs), min(1.0, 2 * min(above, below)), early)

    if len(pairs) >= EARLY_PAIRS and pairs.min() > out:
        return verdict("regression", early=True)
    if len(pairs) >= EARLY_PAIRS and pairs.max() < -out:
        return verdict("improved", early=True)
    if median > matters and above <= SURE_REGRESSION:
        return verdict("regression")
    if median < -matters and below <= SURE_REGRESSION:
        return verdict("improved")
    if probability_above(-pairs, -matters) <= SURE_PASS and probability_above(pairs, -matters) <= SURE_PASS:
        return verdict("pass")
    return verdict("inconclusive") if last else None
