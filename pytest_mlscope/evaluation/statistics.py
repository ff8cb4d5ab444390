"""The figures a sample of latencies supports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.host.order_statistics import median_interval, median_relative_error, minimum_samples

__all__ = ["PERCENTILES", "median_interval", "median_relative_error", "minimum_samples", "supported_percentiles"]

PERCENTILES = (50, 90, 95, 99)
_SUPPORTED_FROM = {percentile: minimum_samples(percentile) for percentile in PERCENTILES}


def supported_percentiles(samples_ns: NDArray[np.integer[Any]] | Sequence[int]) -> dict[str, float | None]:
    """Percentiles of a sample, ``None`` where it is smaller than :func:`minimum_samples` asks for.

    A percentile is the smallest measured latency that at least that share of the calls did not exceed (nearest rank,
    the inverse of the empirical distribution function): a latency that was seen, never one between two.

    :param samples_ns: ns, shape ``(n,)``, any order; may be empty.
    :return: ``p50``, ``p90``, ``p95`` and ``p99`` in seconds.
    """
    samples = np.asarray(samples_ns)
    supported = [percentile for percentile in PERCENTILES if samples.size >= _SUPPORTED_FROM[percentile]]
    figures: dict[str, float | None] = {f"p{percentile}": None for percentile in PERCENTILES}
    if supported:
        values = np.percentile(samples, supported, method="inverted_cdf")
        figures.update({f"p{p}": float(value) / 1e9 for p, value in zip(supported, values)})
    return figures
