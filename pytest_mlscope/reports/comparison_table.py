"""The table of what was compared with a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_mlscope import quantities as readable
from pytest_mlscope.columns import ABSENT, Column, Note
from pytest_mlscope.measurements import Latency
from pytest_mlscope.records import CaseRecord, Comparison, EvaluationRecord, Outcome, PredictionsComparison
from pytest_mlscope.reports.layout import Table
from pytest_mlscope.reports.rows import case_label, is_of_manifest, model_key, models_of

_STYLES = {
    "regression": "bold red",
    **dict.fromkeys(("inconclusive", "warned", "accepted"), "yellow"),
    "improved": "cyan",
    "pass": "green",
}
_VALUES = {"latency": readable.seconds, "peak memory": readable.memory, "load time": readable.seconds}
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


@dataclass(frozen=True)
class _Compared:
    """A case and what became of it."""

    case: CaseRecord
    comparison: Comparison
    latency: Latency | None
    """As the table of latencies has it."""


def comparison_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """At most one table: a row for each quantity of each case that was compared."""
    of_manifests = [record for record in records if record.comparison and is_of_manifest(record)]
    compared = [
        _Compared(each.case, each.comparison, each.latency) for each in of_manifests if each.case and each.comparison
    ]
    if not compared:
        return []
    models = models_of(of_manifests)
    # Workers finish the cases of one model in any order.
    places = list(models)
    compared.sort(key=lambda each: places.index(model_key(each.case)))
    shown = [(each.case, row) for each in compared for row in _rows(each.comparison)]
    notes = _notes(compared)
    title = f"against {' · '.join(dict.fromkeys(each.comparison.against for each in compared))}"
    if not shown:
        if not any(each.comparison.is_verdict for each in compared):
            notes.insert(0, Note("NOTHING was compared, which fails the run"))
        return [Table(title, [], [], [], notes)]
    rows = [row for _, row in shown]
    cases = [case for case, _ in shown]
    with_p = any(row.interval.startswith("p = ") for row in rows)
    columns = [
        Column("case", [case.id or case.framework for case in cases], "left", label=True, shorten=True),
        Column("quantity", [row.quantity for row in rows], "left", label=True),
        Column("before → now", [row.values for row in rows], importance=70),
        Column("change", [row.change for row in rows]),
        Column("interval or p" if with_p else "95% interval", [row.interval for row in rows], importance=60),
        Column("pairs", [row.pairs for row in rows], importance=50),
        Column("verdict", [row.verdict for row in rows], "left", styles=[_STYLES.get(row.verdict, "") for row in rows]),
    ]
    return [Table(title, columns, [models[model_key(case)] for case in cases], [], notes)]


def _rows(comparison: Comparison) -> Iterator[_Row]:
    for quantity, ratio in comparison.ratios.items():
        if quantity != "latency" and not ratio.is_told:
            continue
        yield _Row(
            quantity,
            _change(ratio.ratio),
            _verdict(comparison, quantity.replace(" ", "_"), ratio.outcome),
            _before_and_now(ratio.baseline, ratio.candidate, _VALUES[quantity]),
            " … ".join(map(_change, ratio.interval)) if ratio.interval else ABSENT,
            str(ratio.pairs or ABSENT),
        )
    if counts := comparison.accuracy:
        yield _predictions(comparison, counts)
    for name, metric in comparison.metrics.items():
        values = _before_and_now(metric.baseline, metric.candidate, readable.score)
        verdict = _verdict(comparison, "accuracy", metric.outcome, name)
        yield _Row(name, f"{metric.candidate - metric.baseline:+.4g}", verdict, values, f"p = {metric.p_value:.2g}")
    if parity := comparison.parity:
        # Of text there is no difference in numbers; where there are violations of numbers, an infinite one.
        known = math.inf if parity.max_abs is None and parity.violations else parity.max_abs
        change = "mismatch" if parity.mismatch else ABSENT if known is None else readable.difference(known)
        yield _Row("outputs", change, _verdict(comparison, "parity", parity.outcome))


def _predictions(comparison: Comparison, counts: PredictionsComparison) -> _Row:
    lost, gained = counts.only_baseline_right, counts.only_candidate_right
    rows = counts.both_right + lost + gained + counts.both_wrong
    values = _before_and_now((counts.both_right + lost) / rows, (counts.both_right + gained) / rows, readable.score)
    interval = f"{counts.interval[0]:+.4f} … {counts.interval[1]:+.4f}" if counts.interval else ABSENT
    verdict = _verdict(comparison, "accuracy", counts.outcome)
    return _Row("accuracy", f"-{lost} +{gained} rows", verdict, values, interval)


def _before_and_now(baseline: float | None, candidate: float | None, readable_value: Callable[[float], str]) -> str:
    if baseline is None or candidate is None:
        return ABSENT
    before, now = readable_value(baseline), readable_value(candidate)
    # One unit is enough where both have it.
    unit = before.rpartition(" ")[2]
    return f"{before.removesuffix(f' {unit}') if now.endswith(f' {unit}') else before} → {now}"


def _verdict(comparison: Comparison, quantity: str, outcome: Outcome, metric: str | None = None) -> str:
    """What a quantity's verdict comes to under the manifest's policy."""
    if outcome == "regression":
        for ruling in comparison.rulings:
            is_of_it = (ruling.quantity, ruling.metric) == (quantity, metric)
            if is_of_it and ruling.kind in ("accepted", "warned"):
                return ruling.kind
    return outcome


def _change(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}%"


def _what_latency_is(compared: Sequence[_Compared]) -> list[Note]:
    notes = []
    latencies = [(each, latency) for each in compared if (latency := each.comparison.latency)]
    others = {each.case.scenario: each.latency for each, latency in latencies if latency.measured is not None}
    notes += [
        Note(f"{scenario}: the time of a full batch is compared, not the latency of a {latency.sample}")
        for scenario, latency in sorted(others.items())
        if latency is not None and not latency.back_to_back
    ]
    notes += _two_figures(compared)
    bounds = sorted({round(runs.bound * 100) for _, latency in latencies if (runs := latency.separate_runs)})
    if bounds:
        beyond = f"{bounds[0]}%" if len(bounds) == 1 else f"{bounds[0]}–{bounds[-1]}%"
        notes.append(Note(f"separate runs: only differences of latency beyond {beyond} count"))
    return notes


def _two_figures(compared: Sequence[_Compared]) -> list[Note]:
    """Why the latency here is another than in the table of latencies, where one may wonder."""
    others: list[str] = []
    for each in compared:
        latency = each.comparison.latency
        # Where calls wait, the latency table has what the case's scenario times, which is not compared.
        if not (latency and latency.candidate and latency.measured is not None and each.latency):
            continue
        p50 = each.latency.p50
        if not p50 or not each.latency.back_to_back:
            continue
        if abs(math.log(p50 / latency.candidate)) > math.log1p(max(latency.minimum_effect, LIKE)):
            others.append(f"{case_label(each.case)} ({readable.seconds(p50)} there)")
    if not others:
        return []
    why = "both sides in turns, in fresh processes; the latency table: this side by itself, in a window of its own"
    return [Note(f"latency here: {why}: {', '.join(dict.fromkeys(others))}")]


def _ruling_notes(compared: Sequence[_Compared]) -> list[Note]:
    """What the manifests' gates changed, and acceptances that no case of the run needs."""
    rulings = [(each.case, ruling) for each in compared for ruling in each.comparison.rulings]
    needed = {(ruling.place, ruling.quantity) for _, ruling in rulings if ruling.kind != "not needed"}
    told: dict[str, list[str]] = {}
    for case, ruling in rulings:
        if ruling.kind != "not needed" or (ruling.place, ruling.quantity) not in needed:
            told.setdefault(ruling.text, []).append(case_label(case))
    return [Note(f"{text}: {', '.join(dict.fromkeys(cases))}") for text, cases in told.items()]


def _rows_left_out(compared: Sequence[_Compared]) -> list[Note]:
    counts: dict[int, list[str]] = {}
    for each in compared:
        predictions = each.comparison.accuracy
        if predictions and predictions.left_out:
            counts.setdefault(predictions.left_out, []).append(case_label(each.case))
    return [
        Note(f"{readable.plural(count, 'row')} that only one side has left out of accuracy: {', '.join(cases)}")
        for count, cases in counts.items()
    ]


def _notes(compared: Sequence[_Compared]) -> list[Note]:
    # What few pairs leave open about memory and load time is in the JSON report.
    unshown = dict.fromkeys(
        quantity
        for each in compared
        for quantity, ratio in each.comparison.ratios.items()
        if quantity != "latency" and not ratio.is_told
    )
    notes = [Note(f"{' and '.join(unshown)}: compared; pass or inconclusive where not shown")] if unshown else []
    notes += _what_latency_is(compared) + _rows_left_out(compared) + _ruling_notes(compared)
    remarked: dict[str, list[str]] = {}
    for each in compared:
        if remark := each.comparison.remark:
            remarked.setdefault(remark, []).append(case_label(each.case))
    notes += [Note(f"{remark}: {', '.join(dict.fromkeys(cases))}") for remark, cases in remarked.items()]
    # Where no quantity was compared, the message is all there is.
    counts = Counter(
        (message, each.comparison.command)
        for each in compared
        for message in (each.comparison.left_open if each.comparison.compares_a_quantity else each.comparison.messages)
    )
    for (message, command), count in counts.items():
        # A manifest's mistakes are a line each.
        first, *further = message.splitlines()
        notes += [Note(f"{first} ({readable.plural(count, 'test')})", command), *map(Note, further)]
    return notes
