"""The table of what was compared with a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mlscope.gate import readable
from pytest_mlscope.reports.layout import Column, Note, Table
from pytest_mlscope.reports.records import split_command
from pytest_mlscope.reports.rows import case_label, is_of_manifest

Record = Mapping[str, Any]
ABSENT = "–"
_STYLES = {"regression": "bold red", "inconclusive": "yellow", "improved": "cyan", "pass": "green"}


def comparison_tables(records: Sequence[Record]) -> list[Table]:
    """At most one table: a row for each quantity of each case that was compared."""
    compared = [record for record in records if record.get("comparison") and is_of_manifest(record)]
    if not compared:
        return []
    rows = [row for record in compared for row in _rows(record)]
    notes = _notes(compared)
    against = " · ".join(dict.fromkeys(str(record["comparison"]["against"]) for record in compared))
    if not rows:
        return [Table(f"against {against}", [], [], [], notes)]
    columns = [
        Column("case", [row[0] for row in rows], "left", label=True, shorten=True),
        Column("quantity", [row[1] for row in rows], "left", label=True),
        Column("change", [row[2] for row in rows]),
        Column("95% interval", [row[3] for row in rows], importance=60),
        Column("pairs", [row[4] for row in rows], importance=50),
        Column("verdict", [row[5] for row in rows], "left", styles=[_STYLES.get(row[5], "") for row in rows]),
    ]
    return [Table(f"against {against}", columns, [""] * len(rows), [], notes)]


def _rows(record: Record) -> list[tuple[str, str, str, str, str, str]]:
    label = case_label(record["case"])
    comparison = record["comparison"]
    rows = []
    for quantity in ("latency", "peak_memory", "load_time"):
        facts = comparison[quantity]
        # What few pairs leave open about memory and load time is in the JSON report.
        if facts and (quantity == "latency" or facts["outcome"] in ("regression", "improved")):
            interval = (
                f"{_change(facts['interval'][0])} … {_change(facts['interval'][1])}" if facts["interval"] else ABSENT
            )
            name = quantity.replace("_", " ")
            rows.append(
                (label, name, _change(facts["ratio"]), interval, str(facts["pairs"] or ABSENT), facts["outcome"])
            )
    if facts := comparison["accuracy"]:
        change = f"-{facts['only_baseline_right']} +{facts['only_candidate_right']} rows"
        rows.append((label, "accuracy", change, f"p = {facts['p_value']:.2g}", ABSENT, facts["outcome"]))
    if facts := comparison["parity"]:
        largest = facts["max_abs"]
        change = "mismatch" if facts["mismatch"] else readable.difference(math.inf if largest is None else largest)
        rows.append((label, "outputs", change, ABSENT, ABSENT, facts["outcome"]))
    return rows


def _change(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}%"


def _notes(records: Sequence[Record]) -> list[Note]:
    counts = Counter(
        message
        for record in records
        if record["comparison"]["outcome"] == "not compared"
        for message in record["comparison"]["messages"]
    )
    notes = []
    for message, count in counts.items():
        why, command = split_command(message)
        # A manifest's mistakes are a line each.
        first, *further = why.splitlines()
        notes += [Note(f"{first} ({readable.plural(count, 'test')})", command), *map(Note, further)]
    return notes
