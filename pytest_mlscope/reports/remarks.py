"""What stands below the latency table: how far its figures can be trusted, and whether layers were profiled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pytest_mlscope.measurements import Latency
from pytest_mlscope.quantities import plural
from pytest_mlscope.reports.rows import Row

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def latency_remarks(rows: Sequence[Row[Latency]]) -> list[str]:
    """Windows that ended before the median was known as well as wanted, warnings, and profiles, each once with its
    count.
    """
    return [*_imprecise(rows), *_warnings(rows), *_layers(rows)]


def _layers(rows: Sequence[Row[Latency]]) -> list[str]:
    profiled = [(row.case.framework, row.record.layers) for row in rows if row.record.layers]
    count = sum(len(profile.layers) for _, profile in profiled)
    lacking = Counter(
        f"{framework}: {profile.not_available}" for framework, profile in profiled if profile.not_available
    )
    found = [f"layers: {count:,}, in JSON"] if count else []
    return [*found, *(f"layers: {reason} ({plural(cases, 'case')})" for reason, cases in sorted(lacking.items()))]


def _imprecise(rows: Sequence[Row[Latency]]) -> list[str]:
    counts: Counter[float] = Counter()
    for row in rows:
        error, wanted = row.part.relative_error, row.part.wanted_relative_error
        known = error is not None and wanted is not None and error <= wanted
        if wanted is not None and row.part.stop_reason == "budget" and not known:
            counts[wanted] += 1
    return [
        f"p50 is uncertain by more than {wanted * 100:g}%: {plural(count, 'case')} (the budget ended first; "
        "measurement.budget)"
        for wanted, count in sorted(counts.items())
    ]


def _warnings(rows: Sequence[Row[Latency]]) -> list[str]:
    """Warnings that differ in their numbers alone are one, with the range of each number."""
    alike: dict[tuple[str, ...], list[list[str]]] = {}
    for row in rows:
        for warning in row.part.warnings:
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
