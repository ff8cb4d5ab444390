"""The table of what was compared with a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mlscope import quantities as readable
from pytest_mlscope.reports.layout import Column, Note, Table
from pytest_mlscope.reports.records import split_command, was_compared
from pytest_mlscope.reports.rows import case_label, is_of_manifest, model_key, models_of

Record = Mapping[str, Any]
ABSENT = "–"
_STYLES = {"regression": "bold red", "inconclusive": "yellow", "improved": "cyan", "pass": "green"}
_QUANTITIES = ("latency", "peak_memory", "load_time", "accuracy", "parity")


@dataclass(frozen=True)
class _Row:
    quantity: str
    change: str
    verdict: str
    interval: str = ABSENT
    pairs: str = ABSENT


def comparison_tables(records: Sequence[Record]) -> list[Table]:
    """At most one table: a row for each quantity of each case that was compared."""
    compared = [record for record in records if record.get("comparison") and is_of_manifest(record)]
    if not compared:
        return []
    models = models_of(compared)
    # Workers finish the cases of one model in any order.
    places = list(models)
    compared.sort(key=lambda record: places.index(model_key(record["case"])))
    shown = [(record, row) for record in compared for row in _rows(record["comparison"])]
    notes = _notes(compared)
    title = f"against {' · '.join(dict.fromkeys(str(record['comparison']['against']) for record in compared))}"
    if not shown:
        if not any(map(was_compared, compared)):
            notes.insert(0, Note("NOTHING was compared, which fails the run"))
        return [Table(title, [], [], [], notes)]
    rows = [row for _, row in shown]
    cases = [record["case"] for record, _ in shown]
    with_p = any(row.quantity == "accuracy" for row in rows)
    columns = [
        Column("case", [case["id"] or case["framework"] for case in cases], "left", label=True, shorten=True),
        Column("quantity", [row.quantity for row in rows], "left", label=True),
        Column("change", [row.change for row in rows]),
        Column("interval or p" if with_p else "95% interval", [row.interval for row in rows], importance=60),
        Column("pairs", [row.pairs for row in rows], importance=50),
        Column("verdict", [row.verdict for row in rows], "left", styles=[_STYLES.get(row.verdict, "") for row in rows]),
    ]
    return [Table(title, columns, [models[model_key(case)] for case in cases], [], notes)]


def _rows(comparison: Mapping[str, Any]) -> Iterator[_Row]:
    for quantity in ("latency", "peak_memory", "load_time"):
        facts = comparison[quantity]
        if facts and (quantity == "latency" or is_told(facts)):
            low_high = facts["interval"]
            interval = f"{_change(low_high[0])} … {_change(low_high[1])}" if low_high else ABSENT
            pairs = str(facts["pairs"] or ABSENT)
            yield _Row(quantity.replace("_", " "), _change(facts["ratio"]), facts["outcome"], interval, pairs)
    if facts := comparison["accuracy"]:
        change = f"-{facts['only_baseline_right']} +{facts['only_candidate_right']} rows"
        yield _Row("accuracy", change, facts["outcome"], f"p = {facts['p_value']:.2g}")
    if facts := comparison["parity"]:
        largest = facts["max_abs"]
        # Of text there is no difference in numbers; where there are violations of numbers, an infinite one.
        known = math.inf if largest is None and facts["violations"] else largest
        change = "mismatch" if facts["mismatch"] else ABSENT if known is None else readable.difference(known)
        yield _Row("outputs", change, facts["outcome"])


def is_told(facts: Mapping[str, Any]) -> bool:
    """Whether peak memory or load time is worth a line."""
    outcome = facts["outcome"]
    looks_worse: bool = facts["ratio"] > 1 + facts["minimum_effect"]
    return outcome in ("regression", "improved") or (outcome == "inconclusive" and looks_worse)


def _change(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}%"


def _what_latency_is(records: Sequence[Record]) -> list[Note]:
    notes = []
    latencies = [(record["case"], latency) for record in records if (latency := record["comparison"]["latency"])]
    if any(case["scenario"] == "server" and latency["measured"] is not None for case, latency in latencies):
        notes.append(Note("server: the time of a full batch is compared, not the queries' latency"))
    bounds = sorted({round(runs["bound"] * 100) for _, latency in latencies if (runs := latency["separate_runs"])})
    if bounds:
        beyond = f"{bounds[0]}%" if len(bounds) == 1 else f"{bounds[0]}–{bounds[-1]}%"
        notes.append(Note(f"separate runs: only differences of latency beyond {beyond} count"))
    return notes


def _rows_left_out(records: Sequence[Record]) -> list[Note]:
    counts: dict[int, list[str]] = {}
    for record in records:
        facts = record["comparison"]["accuracy"]
        if facts and facts["left_out"]:
            counts.setdefault(facts["left_out"], []).append(case_label(record["case"]))
    return [
        Note(f"{readable.plural(count, 'row')} that only one side has left out of accuracy: {', '.join(cases)}")
        for count, cases in counts.items()
    ]


def _notes(records: Sequence[Record]) -> list[Note]:
    # What few pairs leave open about memory and load time is in the JSON report.
    unshown = [
        quantity.replace("_", " ")
        for quantity in ("peak_memory", "load_time")
        if any((facts := record["comparison"][quantity]) and not is_told(facts) for record in records)
    ]
    notes = [Note(f"{' and '.join(unshown)}: compared; pass or inconclusive where not shown")] if unshown else []
    notes += _what_latency_is(records) + _rows_left_out(records)
    remarked: dict[str, list[str]] = {}
    for record in records:
        if remark := record["comparison"]["remark"]:
            remarked.setdefault(remark, []).append(case_label(record["case"]))
    notes += [Note(f"{remark}: {', '.join(dict.fromkeys(cases))}") for remark, cases in remarked.items()]
    counts = Counter(
        message
        for record in records
        # Where no quantity was compared, the message is all there is.
        if not any(record["comparison"][quantity] for quantity in _QUANTITIES)
        for message in record["comparison"]["messages"]
    )
    for message, count in counts.items():
        why, command = split_command(message)
        # A manifest's mistakes are a line each.
        first, *further = why.splitlines()
        notes += [Note(f"{first} ({readable.plural(count, 'test')})", command), *map(Note, further)]
    return notes
