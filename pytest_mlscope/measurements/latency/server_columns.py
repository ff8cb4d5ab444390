"""What the table of latencies says of queries that arrived by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_mlscope import quantities as readable
from pytest_mlscope.columns import ABSENT, KEEP, Column, numbers
from pytest_mlscope.measurements.latency.result import Latency, ServerRun


def server_columns(latencies: Sequence[Latency]) -> list[Column]:
    """The rate, and what became of the queries; a cell a latency."""
    runs = [latency.server for latency in latencies]

    def column(
        title: str, show: Callable[[float], str], value: Callable[[ServerRun], float | None], importance: int
    ) -> Column:
        return numbers(title, [value(run) if run else None for run in runs], show, importance=importance)

    asked = column("asked/s", readable.number, lambda run: run.qps, 68)
    columns = [replace(asked, note="asked/s: the Poisson rate of queries")]
    if any(run and run.unanswered for run in runs):
        cells = [f"{run.unanswered:,}" if run else ABSENT for run in runs]
        columns.append(Column("unanswered", cells, importance=KEEP))
    columns.append(column("queued p50", readable.seconds, lambda run: run.queued.get("p50"), 28))
    columns.append(column("per batch", readable.number, lambda run: run.mean_batch, 27))
    return columns


def server_notes(latencies: Sequence[Latency]) -> list[str]:
    """What a latency counts from, how rates were found, and the load's own error."""
    runs = [latency.server for latency in latencies if latency.server]
    error = _arrival_error(runs)
    return ["latency from a query's scheduled arrival", *_searched(runs), *([error] if error else [])]


def _searched(runs: Sequence[ServerRun]) -> list[str]:
    searched = [run for run in runs if run.trials]
    if not searched:
        return []
    trials = sum(len(run.trials) for run in searched)
    cases = readable.plural(len(searched), "case")
    notes = [f"the rate was searched: {cases}, {readable.plural(trials, 'trial')} (in JSON)"]
    for budget, count in sorted(Counter(run.budget_ended for run in searched if run.budget_ended).items()):
        shown, cases = readable.seconds(budget), readable.plural(count, "case")
        notes.append(f"search_budget ({shown}) ended before a rate was confirmed: {cases}")
    return notes


def _arrival_error(runs: Sequence[ServerRun]) -> str | None:
    known = [run.arrival_error for run in runs if run.arrival_error is not None]
    return f"99% of arrivals noticed within {readable.seconds(max(known))}" if known else None
