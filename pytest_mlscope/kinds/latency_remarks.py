"""What stands below the table of latencies: how far its figures can be trusted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pytest_mlscope.measurements import Latency
from pytest_mlscope.quantities import plural

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def latency_remarks(latencies: Sequence[Latency]) -> list[str]:
    """Windows that ended before the median was known as well as wanted, and warnings, each once with its count."""
    return [*_imprecise(latencies), *_warnings(latencies)]


def _imprecise(latencies: Sequence[Latency]) -> list[str]:
    counts: Counter[float] = Counter()
    for latency in latencies:
        error, wanted = latency.relative_error, latency.wanted_relative_error
        known = error is not None and wanted is not None and error <= wanted
        if wanted is not None and latency.stop_reason == "budget" and not known:
            counts[wanted] += 1
    return [
        f"p50 is uncertain by more than {wanted * 100:g}%: {plural(count, 'case')} (the budget ended first; "
        "measurement.budget)"
        for wanted, count in sorted(counts.items())
    ]


def _warnings(latencies: Sequence[Latency]) -> list[str]:
    """Warnings that differ in their numbers alone are one, with the range of each number."""
    alike: dict[tuple[str, ...], list[list[str]]] = {}
    for latency in latencies:
        for warning in latency.warnings:
            parts = _NUMBER.split(warning)
            alike.setdefault(tuple(parts[::2]), []).append(parts[1::2])
    found = []
    for texts, numbers in alike.items():
        ranges = [_range(values) for values in zip(*numbers)]
        whole = "".join(text + value for text, value in zip(texts, [*ranges, ""]))
        found.append(f"{whole} ({plural(len(numbers), 'case')})")
    return found


def _range(values: Sequence[str]) -> str:
    lowest, highest = min(values, key=float), max(values, key=float)
    return lowest if float(lowest) == float(highest) else f"{lowest}–{highest}"
