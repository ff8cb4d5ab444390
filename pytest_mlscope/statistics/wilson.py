"""The Wilson score interval of a proportion."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Lower and upper bound of the proportion behind ``successes`` in ``n`` independent trials.

    The score interval without continuity correction: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", Journal of the American Statistical Association 22 (1927), pp. 209–212. Unlike the normal
    approximation it never leaves [0, 1] and keeps its coverage near 0 and 1.

    :raises ValueError: unless ``0 <= successes <= n``, ``n > 0`` and ``0 < confidence < 1``.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    proportion = successes / n
    center = (proportion + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))
    # At the ends the bound is exactly 0 or 1; rounding would miss it by an ulp.
    lower = 0.0 if successes == 0 else max(0.0, center - half)
    upper = 1.0 if successes == n else min(1.0, center + half)
    return lower, upper
