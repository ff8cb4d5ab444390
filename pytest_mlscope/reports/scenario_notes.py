"""What the latencies of a table's scenarios are latencies of, where that is not a single batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_mlscope.measurements import Latency, ServerRun
from pytest_mlscope.quantities import plural, seconds
from pytest_mlscope.reports.rows import Row


def scenario_notes(shown: Sequence[Row[Latency]]) -> list[str]:
    """One line a scenario, in few words."""
    rows: dict[tuple[str, str], set[int]] = {}
    for row in shown:
        if row.part.sample != "batch" and not row.part.server:
            rows.setdefault((row.case.scenario, row.part.sample), set()).add(row.part.rows_per_query)
    notes = [
        f"{scenario}: latency of a {_sized(sample, _sizes(counts))}" for (scenario, sample), counts in rows.items()
    ]
    servers = [row.part.server for row in shown if row.part.server]
    if servers:
        notes.append("server: latency from a query's scheduled arrival")
        notes += _searched(servers)
        error = _arrival_error(servers)
        notes += [error] if error else []
    return notes


def _sized(sample: str, sizes: str) -> str:
    # After several words, "of" would say the last one's size.
    return f"{sample} ({sizes})" if " " in sample else f"{sample} of {sizes}"


def _sizes(counts: set[int]) -> str:
    sizes = sorted(counts)
    return plural(sizes[0], "row") if len(sizes) == 1 else f"{sizes[0]:,}–{sizes[-1]:,} rows"


def _searched(servers: Sequence[ServerRun]) -> list[str]:
    searched = [server for server in servers if server.trials]
    if not searched:
        return []
    trials = sum(len(server.trials) for server in searched)
    notes = [f"server: the rate was searched: {plural(len(searched), 'case')}, {plural(trials, 'trial')} (in JSON)"]
    for budget, count in sorted(Counter(server.budget_ended for server in searched if server.budget_ended).items()):
        notes.append(
            f"server: search_budget ({seconds(budget)}) ended before a rate was confirmed: {plural(count, 'case')}"
        )
    return notes


def _arrival_error(servers: Sequence[ServerRun]) -> str | None:
    known = [server.arrival_error for server in servers if server.arrival_error is not None]
    return f"server: 99% of arrivals noticed within {seconds(max(known))}" if known else None
