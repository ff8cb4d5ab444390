"""The Wilson score interval of a proportion."""

from __future__ import annotations


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Lower and upper bound of the proportion behind ``successes`` in ``n`` independent trials.

    The score interval without continuity correction: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", Journal of the American Statistical Association 22 (1927), pp. 209–212. Unlike the normal
    approximation it never leaves [0, 1] and keeps its coverage near 0 and 1.

    >>> tuple(round(bound, 4) for bound in wilson_interval(443, 450))
    (0.9682, 0.9924)

    :raises ValueError: unless ``0 <= successes <= n``, ``n > 0`` and ``0 < confidence < 1``.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    # A second's import, which only runs that score something pay.
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
