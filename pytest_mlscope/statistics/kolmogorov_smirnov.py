"""Whether two samples are of one distribution.

Source: F. J. Massey, "The Kolmogorov-Smirnov test for goodness of fit", JASA 46(253), 1951; N. Smirnov, "Table for
estimating the goodness of fit of empirical distributions", Annals of Mathematical Statistics 19(2), 1948.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TERMS = 100


def two_sample_test(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov test by Smirnov's limit, good from some 20 of each on.

    :param one: shape ``(n,)``, any order.
    :param other: shape ``(m,)``.
    :return: the largest distance of the empirical distributions, and the probability of one as large by chance.
    :raises ValueError: when a sample is empty.
    """
    n, m = len(one), len(other)
    if not n or not m:
        raise ValueError("both samples need values")
    values = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (one, other)]
    distance = float(np.abs(below[0] - below[1]).max())
    scaled = distance * math.sqrt(n * m / (n + m))
    if scaled < 0.2:  # the series converges too slowly, and the probability is 1 to 12 digits
        return distance, 1.0
    series = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, _TERMS))
    return distance, min(max(series, 0.0), 1.0)
