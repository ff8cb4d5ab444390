"""What stands below the latency table: how far its figures can be trusted, and whether layers were profiled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mlscope.quantities import plural
from pytest_mlscope.reports.values import number

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def latency_remarks(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Windows that ended before the median was known as well as wanted, warnings, and profiles, each once with its
    count.
    """
    return [*_imprecise(records), *_warnings(records), *_layers(records)]


def _layers(records: Sequence[Mapping[str, Any]]) -> list[str]:
    profiled = [record for record in records if record["layers"]]
    count = sum(len(record["layers"]["layers"]) for record in profiled)
    lacking = Counter(
        f"{record['case']['framework']}: {record['layers']['not_available']}"
        for record in profiled
        if record["layers"]["not_available"]
    )
    found = [f"layers: {count:,}, in JSON"] if count else []
    return [*found, *(f"layers: {reason} ({plural(cases, 'case')})" for reason, cases in sorted(lacking.items()))]


def _imprecise(records: Sequence[Mapping[str, Any]]) -> list[str]:
    counts: Counter[float] = Counter()
    for record in records:
        error = number(record, "latency", "relative_error")
        wanted = number(record, "latency", "wanted_relative_error")
        known = error is not None and wanted is not None and error <= wanted
        if wanted is not None and record["latency"]["stop_reason"] == "budget" and not known:
            counts[wanted] += 1
    return [
        f"p50 is known to worse than {wanted * 100:g}%: {plural(count, 'case')} (the budget ended first; "
        "measurement.budget)"
        for wanted, count in sorted(counts.items())
    ]


def _warnings(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Warnings that differ in their numbers alone are one, with the range of each number."""
    alike: dict[tuple[str, ...], list[list[str]]] = {}
    for record in records:
        for warning in record["latency"]["warnings"]:
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
