"""Wilcoxon's signed-rank test, exact, and the interval that goes with it.

Of two sides that are the same program, which one is called the baseline is chance: their log ratio is as likely to be
``x`` as ``-x``. This is all the test assumes, so heavy tails cost power but never its error rate.

Sources: F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945; J. L. Hodges and
E. L. Lehmann, "Estimates of location based on rank tests", Annals of Mathematical Statistics 34(2), 1963; M. Hollander,
D. A. Wolfe and E. Chicken, *Nonparametric Statistical Methods*, 3rd edition, 2014, sections 3.1 to 3.3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_EXACT_UP_TO = 200
"""Differences up to which the distribution is counted out; 200 take a table of 20,100 numbers."""


@functools.cache
def _distribution(n: int) -> NDArray[np.float64]:
    """``P[V = v]`` for ``v`` in ``0 … n(n+1)/2``, where ``V`` is the sum of the positive differences' ranks."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        # A copy, since a view would change with the next line.
        shifted = counts[:-rank].copy()
        counts *= 0.5
        counts[rank:] += 0.5 * shifted
    return counts


def _checked(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not 0 < len(array) <= _EXACT_UP_TO:
        raise ValueError(f"needs 1 to {_EXACT_UP_TO} values in one dimension, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a value is not finite")
    return array


def probability_above(values: Sequence[float] | NDArray[np.float64], centre: float = 0.0) -> float:
    """P-value of "symmetric about ``centre`` or less" against "symmetric about something greater".

    A value that equals the centre counts against the alternative, with the rank it has, so that ties cannot make it
    look surer than it is.

    >>> probability_above([1.0, 2.0, 3.0])
    0.125

    :param values: shape ``(n,)``, 1 to 200 finite values.
    :return: between ``2 ** -n`` and 1.
    :raises ValueError: for other values.
    """
    differences = _checked(values) - centre
    n = len(differences)
    order = np.argsort(np.abs(differences), kind="stable")
    # Tied magnitudes: the least favourable order gives positive differences the lower ranks.
    magnitudes = np.abs(differences)[order]
    positive = differences[order] > 0
    resolved = np.lexsort((~positive, magnitudes))
    ranks = np.arange(1, n + 1)
    statistic = int(ranks[positive[resolved]].sum())
    # The sum of all probabilities may exceed 1 in its last digit.
    return float(min(1.0, _distribution(n)[statistic:].sum()))


def _walsh_averages(values: NDArray[np.float64]) -> NDArray[np.float64]:
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2)


def interval(values: Sequence[float] | NDArray[np.float64], *, confidence: float) -> tuple[float, float]:
    """Confidence interval of the centre of symmetry: the centres that the test does not reject.

    >>> interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], confidence=0.95)
    (1.0, 6.0)

    :param values: shape ``(n,)``, 1 to 200 finite values.
    :param confidence: between 0 and 1, both exclusive. With few values no finite interval has it: then the interval
        is infinite on both sides.
    :raises ValueError: for other values or another confidence.
    """
    array = _checked(values)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must lie between 0 and 1")
    tail = (1 - confidence) / 2
    below = np.cumsum(_distribution(len(array)))
    # Walsh averages beyond the bound at either end; the bound itself is the next one.
    rank = int(np.searchsorted(below, tail, side="right"))
    if rank == 0:
        return -math.inf, math.inf
    averages = _walsh_averages(array)
    return float(averages[rank - 1]), float(averages[-rank])
