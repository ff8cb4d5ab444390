"""Many comparisons in one run: Holm's step-down procedure.

Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2),
1979. It keeps the chance of any false alarm in the whole matrix below the level, whatever depends on whatever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm_levels(p_values: Sequence[float], *, family: int, level: float) -> list[float]:
    """The level of each p-value, which is rejected when it is at most that.

    The smallest is compared with ``level / family``, the next, if that one is rejected, with
    ``level / (family - 1)``, and so on; from the first one that is not rejected, the level stays.

    >>> holm_levels([0.5, 0.001], family=2, level=0.01)
    [0.01, 0.005]

    :param p_values: between 0 and 1; those known so far.
    :param family: how many comparisons there are in all, those not known yet included.
    :param level: chance of any false alarm among them.
    :raises ValueError: for values that are no p-values, or a family smaller than they are many.
    """
    for p in p_values:
        if math.isnan(p) or not 0 <= p <= 1:
            raise ValueError(f"{p!r} is not a p-value")
    if family < len(p_values):
        raise ValueError(f"a family of {family} holds no {len(p_values)} p-values")
    levels = [0.0] * len(p_values)
    rejected = 0
    stopped = False
    for index in sorted(range(len(p_values)), key=p_values.__getitem__):
        levels[index] = level / (family - rejected)
        stopped = stopped or p_values[index] > levels[index]
        rejected += not stopped
    return levels
