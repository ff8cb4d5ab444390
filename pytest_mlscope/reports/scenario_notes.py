"""What the latencies of a table's scenarios are latencies of, where that is not a single batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mlscope.quantities import plural, seconds


def scenario_notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a scenario, in few words."""
    rows: dict[str, Counter[int]] = {}
    for record in records:
        count = record["latency"]["rows_per_query"]
        rows.setdefault(record["case"]["scenario"], Counter())[count] += 1
    notes = []
    if "multi_stream" in rows:
        notes.append(f"multi_stream: latency of a query of {_sizes(rows['multi_stream'])}")
    if "server" in rows:
        notes.append("server: latency from a query's scheduled arrival")
        notes += _searched(records)
        error = _arrival_error(records)
        notes += [error] if error else []
    if "offline" in rows:
        notes.append(f"offline: latency of a queue of {_sizes(rows['offline'])}")
    return notes


def _sizes(counts: Counter[int]) -> str:
    sizes = sorted(counts)
    return plural(sizes[0], "row") if len(sizes) == 1 else f"{sizes[0]:,}–{sizes[-1]:,} rows"


def _servers(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record["latency"]["server"] for record in records if record["latency"]["server"]]


def _searched(records: Sequence[Mapping[str, Any]]) -> list[str]:
    searched = [server for server in _servers(records) if server["trials"]]
    if not searched:
        return []
    trials = sum(len(server["trials"]) for server in searched)
    return [f"server: the rate was searched: {plural(len(searched), 'case')}, {plural(trials, 'trial')} (in JSON)"]


def _arrival_error(records: Sequence[Mapping[str, Any]]) -> str | None:
    known = [server["arrival_error"] for server in _servers(records) if server["arrival_error"] is not None]
    return f"server: 99% of arrivals noticed within {seconds(max(known))}" if known else None
