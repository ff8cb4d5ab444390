"""Whether a latency rises or falls while it is measured.

Sources: H. B. Mann, "Nonparametric tests against trend", Econometrica 13(3), 1945, and M. G. Kendall, *Rank
Correlation Methods*, 4th ed., 1970 (the test); P. K. Sen, "Estimates of the regression coefficient based on Kendall's
tau", Journal of the American Statistical Association 63(324), 1968 (the slope).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.host.order_statistics import BATCHES

LEVEL = 0.001
"""Two-sided p-value at which a trend counts as no chance."""
SMALLEST_DRIFT = 0.03
"""Relative change over the window that matters."""


def trend_p_value(values: NDArray[np.floating[Any]]) -> float:
    """Two-sided p-value of "no trend" by Mann and Kendall, in the normal approximation with continuity correction.

    :param values: shape ``(n,)``, in time order, ``n`` of 8 or more for the approximation to hold; may have ties.
    """
    n = len(values)
    later, earlier = np.triu_indices(n, 1)[::-1]
    s = float(np.sign(values[later] - values[earlier]).sum())
    ties = np.unique(values, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0 or s == 0:
        return 1.0
    # Less 1: the continuity correction, since s moves in steps of 2.
    return math.erfc((abs(s) - 1) / math.sqrt(2 * variance))


def relative_drift(samples: NDArray[np.integer[Any]]) -> float | None:
    """By which fraction of its median the latency moved from the beginning to the end; ``None`` where it did not, or
    where the sample is too small to say.

    Judged by the medians of 20 equal runs of consecutive calls: trend by Mann and Kendall at 0.001, change by Sen's
    slope, 3 % at the least.

    >>> round(relative_drift(np.arange(1000, 1100)), 2), relative_drift(np.full(100, 1000))
    (0.09, None)

    :param samples: any unit, shape ``(n,)``, in the order measured.
    """
    batch = len(samples) // BATCHES
    if batch < 2:
        return None
    # Medians of runs, since single calls scatter so much that a trend would drown.
    latest = np.asarray(samples[len(samples) - batch * BATCHES :], dtype=np.float64)
    medians = np.median(latest.reshape(BATCHES, batch), axis=1)
    middle = float(np.median(medians))
    if not middle > 0 or trend_p_value(medians) > LEVEL:
        return None
    # Imported only here, where a trend was found: it takes a second.
    from scipy.stats import theilslopes

    slope = float(theilslopes(medians, np.arange(BATCHES)).slope)
    drift = slope * (BATCHES - 1) / middle
    return drift if abs(drift) >= SMALLEST_DRIFT else None
