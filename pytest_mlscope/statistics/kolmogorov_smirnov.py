"""Whether two samples are of one distribution."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def two_sample_test(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov test (F. J. Massey, "The Kolmogorov-Smirnov test for goodness of fit", JASA
    46(253), 1951), as scipy computes it.

    >>> import numpy as np
    >>> distance, probability = two_sample_test(np.arange(50), np.arange(50) + 25)
    >>> distance
    0.5

    :param one: shape ``(n,)``, any order.
    :param other: shape ``(m,)``.
    :return: the largest distance of the empirical distributions, and the probability of one as large by chance.
    :raises ValueError: when a sample is empty.
    """
    if not len(one) or not len(other):
        raise ValueError("both samples need values")
    from scipy.stats import ks_2samp

    found = ks_2samp(one, other)
    return float(found.statistic), float(found.pvalue)
