"""What a sample of latencies can say without assuming a distribution: order statistics and the binomial.

Sources: H. A. David and H. N. Nagaraja, *Order Statistics*, 3rd edition, 2003, section 7.1 (intervals for quantiles);
B. Schmeiser, "Batch size effects in the analysis of simulation output", Operations Research 30(3), 1982 (few long
batches of a correlated series); MLPerf Inference Rules, appendix "Early Stopping Criterion" (how large a sample a
percentile needs).
"""

import math
from typing import Optional, Tuple

import numpy

PERCENTILES = (50, 90, 95, 99, 99.9)
"""Those that are reported, where the sample supports them."""

BATCHES = 20
"""Batches of consecutive samples for the interval of a correlated series; Schmeiser advises 10 to 30."""


def minimum_samples(percentile: float, confidence: float = 0.99) -> int:
    """Smallest sample that supports a percentile, by the early stopping rule of MLPerf's LoadGen.

    It is the smallest ``n`` with ``P[Binomial(n, 1 - p) <= 1] <= 1 - confidence``: with the confidence asked for, at
    least two of the calls lie beyond the true percentile, so that it is not the slowest call that stands for it. At
    0.99: 11 for p50, 64 for p90, 130 for p95, 662 for p99, 6636 for p99.9.

    >>> minimum_samples(99), minimum_samples(99.9)
    (662, 6636)

    :param percentile: between 0 and 100, both exclusive.
    :param confidence: between 0 and 1, both exclusive.
    :raises ValueError: when either lies outside.
    """
    if not 0 < percentile < 100:
        raise ValueError("percentile is {!r}; it must lie between 0 and 100".format(percentile))
    if not 0 < confidence < 1:
        raise ValueError("confidence is {!r}; it must lie between 0 and 1".format(confidence))
    beyond = 1 - percentile / 100.0

    def at_most_one_beyond(n: int) -> float:
        return (1 - beyond) ** n + n * beyond * (1 - beyond) ** (n - 1)

    # The probability falls as n grows: bracket by doubling, then halve.
    high = 2
    while at_most_one_beyond(high) > 1 - confidence:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if at_most_one_beyond(middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high if at_most_one_beyond(low) > 1 - confidence or low < 2 else low


def _rank_below_median(n: int, tail: float) -> int:
    """Largest ``r`` with ``P[Binomial(n, 1/2) <= r - 1] <= tail``; 0 when even ``P[Binomial = 0]`` is larger."""
    # Probabilities from the median downwards by their ratio, pmf(k - 1) / pmf(k) = k / (n - k + 1): as exact as one
    # evaluation of lgamma, for any n. Beyond 40 standard deviations below, nothing is left of them in a double.
    middle = n // 2
    lowest = max(0, middle - 20 * int(math.sqrt(n)) - 1)
    at_middle = math.exp(math.lgamma(n + 1) - math.lgamma(middle + 1) - math.lgamma(n - middle + 1) - n * math.log(2.0))
    falling = numpy.arange(middle, lowest, -1, dtype=numpy.float64)
    downwards = at_middle * numpy.concatenate([[1.0], numpy.cumprod(falling / (n - falling + 1))])
    cumulative = numpy.cumsum(downwards[::-1])
    within = int(numpy.searchsorted(cumulative, tail, side="right"))
    return lowest + within if within else 0


def median_interval(samples: numpy.ndarray, confidence: float = 0.95) -> Optional[Tuple[float, float]]:
    """Distribution-free confidence interval of the median of independent samples.

    From the order statistics ``x[r]`` and ``x[n + 1 - r]`` with the largest ``r`` whose exact binomial coverage is at
    least ``confidence`` (David and Nagaraja, section 7.1).

    >>> median_interval(numpy.arange(1, 21))
    (6.0, 15.0)

    :param samples: shape ``(n,)``, any order.
    :return: ``(low, high)`` in the samples' unit; ``None`` when the sample is too small for any such interval (below 6
        at 0.95).
    :raises ValueError: when ``confidence`` does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError("confidence is {!r}; it must lie between 0 and 1".format(confidence))
    n = len(samples)
    rank = _rank_below_median(n, (1 - confidence) / 2) if n else 0
    if rank == 0:
        return None
    ordered = numpy.partition(samples, [rank - 1, n - rank])
    return float(ordered[rank - 1]), float(ordered[n - rank])


def median_relative_error(samples: numpy.ndarray, confidence: float = 0.95) -> Optional[float]:
    """Half-width of the confidence interval of the median, relative to the median, for a series in time order.

    Consecutive calls are correlated (clock frequency, caches, neighbours), which makes the interval for independent
    samples too narrow. So the larger of two half-widths counts: that interval's, and that of the medians of ``BATCHES``
    equal runs of consecutive samples, which are close to independent once a batch outlasts the correlation, and which
    move apart when the latency drifts (Schmeiser 1982).

    >>> median_relative_error(numpy.arange(90, 111)), median_relative_error(numpy.arange(3))
    (0.05, None)

    :param samples: shape ``(n,)``, in the order measured.
    :return: a fraction, such as 0.01; ``None`` when the sample is too small or its median is not positive.
    """
    interval = median_interval(samples, confidence)
    if interval is None:
        return None
    median = float(numpy.median(samples))
    if not median > 0:
        return None
    half_width = (interval[1] - interval[0]) / 2
    batch = len(samples) // BATCHES
    if batch >= 2:
        # What does not fill the batches is the oldest, nearest the warm-up.
        latest = samples[len(samples) - batch * BATCHES :]
        between = median_interval(numpy.median(latest.reshape(BATCHES, batch), axis=1), confidence)
        if between is not None:
            half_width = max(half_width, (between[1] - between[0]) / 2)
    return half_width / median
