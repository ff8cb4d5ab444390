"""The rank-sum test of two independent samples, exact.

Source: H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the
other", Annals of Mathematical Statistics 18(1), 1947.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def rank_sum_p_value(smaller: Sequence[float], larger: Sequence[float]) -> float:
    """One-sided p-value of "both are drawn alike" against ``larger`` being larger. A tie counts against it.

    :param smaller: at least one value, as many as
    :param larger: or not as many; together a few hundred at most.
    :raises ValueError: when one is empty.
    """
    m, n = len(smaller), len(larger)
    if not m or not n:
        raise ValueError("both samples need a value")
    above = int((np.asarray(larger)[:, None] > np.asarray(smaller)[None, :]).sum())
    # ways[j][u]: how many orders of j larger and the smaller values so far have u pairs in which the larger is above.
    ways: list[list[int]] = [[1] + [0] * (m * n) for _ in range(n + 1)]
    for smalls in range(1, m + 1):
        for larges in range(1, n + 1):
            row, before = ways[larges], ways[larges - 1]
            # The topmost value is either a larger one, above all smaller ones so far, or a smaller one.
            ways[larges] = [count + (before[u - smalls] if u >= smalls else 0) for u, count in enumerate(row)]
    return sum(ways[n][above:]) / math.comb(m + n, n)
