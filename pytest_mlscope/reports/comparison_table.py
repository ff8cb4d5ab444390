"""The table of what was compared with a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mlscope import quantities as readable
from pytest_mlscope.reports.layout import Column, Note, Table
from pytest_mlscope.reports.records import split_command, was_compared
from pytest_mlscope.reports.rows import case_label, is_of_manifest, model_key, models_of

Record = Mapping[str, Any]
ABSENT = "–"
_STYLES = {
    "regression": "bold red",
    **dict.fromkeys(("inconclusive", "warned", "accepted"), "yellow"),
    "improved": "cyan",
    "pass": "green",
}
_VALUES = {"latency": readable.seconds, "peak_memory": readable.memory, "load_time": readable.seconds}
_QUANTITIES = ("latency", "peak_memory", "load_time", "accuracy", "metrics", "parity")
LIKE = 0.1
"""Relative difference of two figures for one latency that needs no explanation."""


@dataclass(frozen=True)
class _Row:
    quantity: str
    change: str
    verdict: str
    values: str = ABSENT
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
    with_p = any(row.interval.startswith("p = ") for row in rows)
    columns = [
        Column("case", [case["id"] or case["framework"] for case in cases], "left", label=True, shorten=True),
        Column("quantity", [row.quantity for row in rows], "left", label=True),
        Column("before → now", [row.values for row in rows], importance=70),
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
            yield _Row(
                quantity.replace("_", " "),
                _change(facts["ratio"]),
                _verdict(comparison, quantity, facts),
                _before_and_now(facts["baseline"], facts["candidate"], _VALUES[quantity]),
                interval,
                str(facts["pairs"] or ABSENT),
            )
    if facts := comparison["accuracy"]:
        yield _predictions(comparison, facts)
    for name, facts in comparison["metrics"].items():
        values = _before_and_now(facts["baseline"], facts["candidate"], readable.score)
        change = ABSENT if values == ABSENT else f"{facts['candidate'] - facts['baseline']:+.4g}"
        yield _Row(name, change, _verdict(comparison, "accuracy", facts, name), values, f"p = {facts['p_value']:.2g}")
    if facts := comparison["parity"]:
        largest = facts["max_abs"]
        # Of text there is no difference in numbers; where there are violations of numbers, an infinite one.
        known = math.inf if largest is None and facts["violations"] else largest
        change = "mismatch" if facts["mismatch"] else ABSENT if known is None else readable.difference(known)
        yield _Row("outputs", change, _verdict(comparison, "parity", facts))


def _predictions(comparison: Mapping[str, Any], facts: Mapping[str, Any]) -> _Row:
    lost, gained = facts["only_baseline_right"], facts["only_candidate_right"]
    rows = facts["both_right"] + lost + gained + facts["both_wrong"]
    values = _before_and_now((facts["both_right"] + lost) / rows, (facts["both_right"] + gained) / rows, readable.score)
    interval = f"{facts['interval'][0]:+.4f} … {facts['interval'][1]:+.4f}" if facts["interval"] else ABSENT
    change = f"-{lost} +{gained} rows"
    return _Row("accuracy", change, _verdict(comparison, "accuracy", facts), values, interval)


def _before_and_now(baseline: float | None, candidate: float | None, readable_value: Callable[[float], str]) -> str:
    if baseline is None or candidate is None:
        return ABSENT
    before, now = readable_value(baseline), readable_value(candidate)
    # One unit is enough where both have it.
    unit = before.rpartition(" ")[2]
    return f"{before.removesuffix(f' {unit}') if now.endswith(f' {unit}') else before} → {now}"


def _verdict(comparison: Mapping[str, Any], quantity: str, facts: Mapping[str, Any], metric: str | None = None) -> str:
    """What a quantity's verdict comes to under the manifest's policy."""
    if facts["outcome"] == "regression":
        for ruling in comparison["rulings"]:
            is_of_it = (ruling["quantity"], ruling["metric"]) == (quantity, metric)
            if is_of_it and ruling["kind"] in ("accepted", "warned"):
                return str(ruling["kind"])
    return str(facts["outcome"])


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
    notes += _two_figures(records)
    bounds = sorted({round(runs["bound"] * 100) for _, latency in latencies if (runs := latency["separate_runs"])})
    if bounds:
        beyond = f"{bounds[0]}%" if len(bounds) == 1 else f"{bounds[0]}–{bounds[-1]}%"
        notes.append(Note(f"separate runs: only differences of latency beyond {beyond} count"))
    return notes


def _two_figures(records: Sequence[Record]) -> list[Note]:
    """Why the latency here is another than in the table of latencies, where one may wonder."""
    others: list[str] = []
    for record in records:
        compared, latency = record["comparison"]["latency"], record["latency"]
        # A server's table has the queries' latency, which is not compared.
        if not (compared and compared["candidate"] and compared["measured"] is not None and latency):
            continue
        p50 = latency["percentiles"]["p50"]
        if not p50 or record["case"]["scenario"] == "server":
            continue
        if abs(math.log(p50 / compared["candidate"])) > math.log1p(max(compared["minimum_effect"], LIKE)):
            others.append(f"{case_label(record['case'])} ({readable.seconds(p50)} there)")
    if not others:
        return []
    why = "both sides in turns, in fresh processes; the latency table: this side by itself, in a window of its own"
    return [Note(f"latency here: {why}: {', '.join(dict.fromkeys(others))}")]


def _ruling_notes(records: Sequence[Record]) -> list[Note]:
    """What the manifests' gates changed, and acceptances that no case of the run needs."""
    told: dict[str, list[str]] = {}
    needed = set()
    for record in records:
        for ruling in record["comparison"]["rulings"]:
            if ruling["kind"] != "not needed":
                needed.add((ruling["place"], ruling["quantity"]))
    for record in records:
        for ruling in record["comparison"]["rulings"]:
            if ruling["kind"] != "not needed" or (ruling["place"], ruling["quantity"]) not in needed:
                told.setdefault(ruling["text"], []).append(case_label(record["case"]))
    return [Note(f"{text}: {', '.join(dict.fromkeys(cases))}") for text, cases in told.items()]


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
    notes += _what_latency_is(records) + _rows_left_out(records) + _ruling_notes(records)
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
