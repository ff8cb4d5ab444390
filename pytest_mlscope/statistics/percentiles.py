"""The figures a sample of latencies supports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.host.order_statistics import PERCENTILES, median_interval, median_relative_error, minimum_samples

__all__ = [
    "PERCENTILES",
    "median_interval",
    "median_relative_error",
    "minimum_samples",
    "percentile_of",
    "supported_percentiles",
]

# Computed once: finding a minimum takes a search over binomial sums.
_SUPPORTED_FROM = {percentile: minimum_samples(percentile) for percentile in PERCENTILES}
_NEVER = np.iinfo(np.int64).max


def supported_percentiles(
    samples_ns: NDArray[np.integer[Any]] | Sequence[int], *, unanswered: int = 0
) -> dict[str, float | None]:
    """Percentiles of a sample, ``None`` where it is smaller than :func:`minimum_samples` asks for.

    A percentile is the smallest measured latency that at least that share of the calls did not exceed (nearest rank,
    the inverse of the empirical distribution function): a latency that was seen, never one between two.

    >>> supported_percentiles(range(1_000_000, 1_000_100))  # 100 calls of a millisecond: enough for p90, not for p95
    {'p50': 0.001000049, 'p90': 0.001000089, 'p95': None, 'p99': None, 'p99.9': None}

    :param samples_ns: ns, shape ``(n,)``, any order; may be empty.
    :param unanswered: so many further queries had no answer, and so a latency beyond all others; a percentile that
        would be theirs is ``None``.
    :return: ``p50``, ``p90``, ``p95``, ``p99`` and ``p99.9`` in seconds.
    """
    samples = _with_unanswered(samples_ns, unanswered)
    supported = [percentile for percentile in PERCENTILES if samples.size >= _SUPPORTED_FROM[percentile]]
    figures: dict[str, float | None] = {f"p{percentile}": None for percentile in PERCENTILES}
    if supported:
        # numpy's default interpolates, and so reports a latency that no call had.
        values = np.percentile(samples, supported, method="inverted_cdf")
        figures.update({f"p{p}": _seconds(value) for p, value in zip(supported, values)})
    return figures


def percentile_of(
    samples_ns: NDArray[np.integer[Any]] | Sequence[int],
    percentile: float,
    *,
    unanswered: int = 0,
    at_least: int | None = None,
) -> float | None:
    """One percentile as of :func:`supported_percentiles`, in seconds.

    >>> percentile_of([3_000_000, 1_000_000, 2_000_000], 50, at_least=1)
    0.002

    :param at_least: samples that are enough, instead of what :func:`minimum_samples` asks for.
    """
    samples = _with_unanswered(samples_ns, unanswered)
    if samples.size < max(minimum_samples(percentile) if at_least is None else at_least, 1):
        return None
    return _seconds(np.percentile(samples, percentile, method="inverted_cdf"))


def _with_unanswered(samples_ns: NDArray[np.integer[Any]] | Sequence[int], unanswered: int) -> NDArray[Any]:
    samples = np.asarray(samples_ns)
    return np.concatenate([samples, np.full(unanswered, _NEVER)]) if unanswered else samples


def _seconds(nanoseconds: Any) -> float | None:
    return None if nanoseconds == _NEVER else float(nanoseconds) / 1e9
