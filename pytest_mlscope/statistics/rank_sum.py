"""The rank-sum test of two independent samples, exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rank_sum_p_value(smaller: Sequence[float], larger: Sequence[float]) -> float:
    """One-sided p-value of "both are drawn alike" against ``larger`` being larger.

    Mann and Whitney's test (Annals of Mathematical Statistics 18(1), 1947) by scipy. A tie counts against ``larger``,
    so that ties never make the test look surer than it is.

    >>> rank_sum_p_value([1, 2, 3], [4, 5, 6])
    0.05

    :param smaller: at least one value, as many as
    :param larger: or not as many; together a few hundred at most.
    :raises ValueError: when one is empty, or holds NaN, which has no rank.
    """
    m, n = len(smaller), len(larger)
    if not m or not n:
        raise ValueError("both samples need a value")
    if np.isnan([*smaller, *larger]).any():
        raise ValueError("a value is NaN, which has no rank")
    from scipy.stats import mannwhitneyu

    # scipy's exact distribution knows no ties, so they are broken: the smaller sample's values come last among equals.
    values = np.concatenate([np.asarray(smaller, dtype=np.float64), np.asarray(larger, dtype=np.float64)])
    comes_last = np.arange(m + n) < m
    ranks = np.empty(m + n)
    ranks[np.lexsort((comes_last, values))] = np.arange(m + n)
    return float(mannwhitneyu(ranks[m:], ranks[:m], alternative="greater", method="exact").pvalue)
