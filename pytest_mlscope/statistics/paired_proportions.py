"""McNemar's exact test: two models on the same rows.

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
Psychometrika 12(2), 1947; exact form by the binomial distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairedProportions:
    """How two models did on the same rows.

    >>> pairs = PairedProportions(both_right=430, only_baseline_right=9, only_candidate_right=1, both_wrong=10)
    >>> round(pairs.difference, 4), round(pairs.p_worse, 4)
    (-0.0178, 0.0107)
    """

    both_right: int
    only_baseline_right: int
    only_candidate_right: int
    both_wrong: int

    @classmethod
    def count(cls, baseline_right: NDArray[Any], candidate_right: NDArray[Any]) -> PairedProportions:
        """Count from which rows either side has right.

        >>> PairedProportions.count(np.array([True, True, False]), np.array([True, False, False])).only_baseline_right
        1

        :param baseline_right: bool, shape ``(n,)``.
        :param candidate_right: bool, shape ``(n,)``, the same rows.
        :raises ValueError: when the shapes differ.
        """
        if baseline_right.shape != candidate_right.shape or baseline_right.ndim != 1:
            raise ValueError(f"needs the same rows of both, not {baseline_right.shape} and {candidate_right.shape}")
        # "~" of numbers would flip their bits.
        a, b = baseline_right.astype(bool), candidate_right.astype(bool)
        return cls(*(int(np.count_nonzero(both)) for both in (a & b, a & ~b, ~a & b, ~a & ~b)))

    @property
    def n(self) -> int:
        return self.both_right + self.only_baseline_right + self.only_candidate_right + self.both_wrong

    @property
    def difference(self) -> float:
        """Accuracy of the candidate less the baseline's; NaN without rows."""
        return (self.only_candidate_right - self.only_baseline_right) / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference; -1 and 1 at most.

        Source: A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched proportions",
        Statistics in Medicine 24(5), 2005: Wald's, with half a row more in each of the four counts.

        >>> low, high = PairedProportions(45, 5, 0, 4).interval
        >>> round(low, 3), round(high, 3)
        (-0.172, -0.007)
        """
        n = self.n + 2.0
        gained, lost = self.only_candidate_right + 0.5, self.only_baseline_right + 0.5
        difference = (gained - lost) / n
        half = 1.959964 * math.sqrt(gained + lost - n * difference**2) / n
        return max(-1.0, difference - half), min(1.0, difference + half)

    @property
    def p_worse(self) -> float:
        """One-sided p-value of "the candidate is not worse": rows on which they disagree fall either way by chance."""
        return binomial_at_most(self.only_candidate_right, self.only_candidate_right + self.only_baseline_right)

    @property
    def p_better(self) -> float:
        """One-sided p-value of "the candidate is not better"."""
        return binomial_at_most(self.only_baseline_right, self.only_candidate_right + self.only_baseline_right)


def binomial_at_most(k: int, n: int) -> float:
    """``P[Binomial(n, 1/2) <= k]``.

    >>> binomial_at_most(1, 9) * 512
    10.0

    :raises ValueError: when not ``0 <= k <= n``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k is {k} and n {n}; it must be 0 <= k <= n")
    # Imported here, since scipy takes up to a second and only comparisons need it.
    from scipy.stats import binom

    return float(binom.cdf(k, n, 0.5))
