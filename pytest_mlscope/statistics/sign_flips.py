"""The paired permutation test: the signs of paired differences are exchangeable where nothing changed.

Source: R. A. Fisher, "The Design of Experiments", 1935, section 21.
"""

from __future__ import annotations

from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 14
"""Differences other than 0 up to which all flips are counted."""
DRAWN = 1_000
"""Differences up to which flips are drawn; the sum of more is normal to three digits."""
FLIPS = 99_999
SEED = 0


def sign_flip_p_value(differences: NDArray[Any]) -> float:
    """One-sided p-value of "the mean is not above 0".

    >>> sign_flip_p_value(np.array([1.0, 2.0, 3.0]))
    0.125

    :param differences: finite numbers, shape ``(n,)``.
    :raises ValueError: when one is not finite.
    """
    moved = np.asarray(differences, dtype=np.float64)
    # A comparison with NaN is false, and would be read as a difference that no flip reaches: p = 0.
    if not np.isfinite(moved).all():
        raise ValueError("a difference is not finite")
    # A flip does not move a difference of 0, so it takes no part.
    moved = moved[moved != 0]
    n = len(moved)
    if not n:
        return 1.0
    # Scaled, so that squares of extreme values neither overflow nor vanish.
    sizes = np.abs(moved)
    sizes = sizes / sizes.max()
    seen = float((np.sign(moved) * sizes).sum())
    # Sums in another order differ in their last digits.
    least = seen - 1e-9 * float(sizes.sum())
    if n <= EXACT:
        bits = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1
        return float(np.mean((2 * bits - 1) @ sizes >= least))
    if n > DRAWN:
        return erfc(seen / sqrt(2 * float(sizes @ sizes))) / 2
    # Seeded, so that a verdict is the same whenever it is made again.
    generator = np.random.default_rng(SEED)
    reached = drawn = 0
    while drawn < FLIPS:
        # In portions: all flips of 1,000 differences at once would take 800 MB.
        flips = min(FLIPS - drawn, 10_000)
        signs = 2.0 * generator.integers(0, 2, size=(flips, n), dtype=np.int8) - 1
        reached += int(np.count_nonzero(signs @ sizes >= least))
        drawn += flips
    # The observed signs are one of the possible flips, so that p is never 0 (Phipson and Smyth 2010).
    return (reached + 1) / (FLIPS + 1)
