"""The tables of the summary, made of records: accuracy, parity, latency and what profilers saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_mlscope import quantities as readable
from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.reports.comparison_table import comparison_tables
from pytest_mlscope.reports.layout import KEEP, Column, Note, Table
from pytest_mlscope.reports.remarks import latency_remarks
from pytest_mlscope.reports.rows import Row, captions, groups, label_columns, rows_of, verdict_columns
from pytest_mlscope.reports.scenario_notes import scenario_notes
from pytest_mlscope.reports.values import number
from pytest_mlscope.statistics.percentiles import minimum_samples

Record = Mapping[str, Any]
ABSENT = "–"
_BOUNDED = 85
"""Importance of a percentile that the manifest bounds: more than of those that are only told."""
_NOWHERE_KNOWN = 20
_TOO_FEW = "n<N: the percentile needs at least N calls"
_BETWEEN = "between: spread of the medians of fresh processes, relative; ± p50 is within one"


def summary_tables(records: Sequence[Record]) -> list[Table]:
    """Every table that has at least one row, in the order in which they are read."""
    return [
        *accuracy_tables(records),
        *parity_tables(records),
        *latency_tables(records),
        *comparison_tables(records),
        *profiler_tables(records),
    ]


def accuracy_tables(records: Sequence[Record]) -> list[Table]:
    """One table for each set of metrics, so that models of different tasks do not share half-empty columns."""
    by_metrics: dict[tuple[str, ...], list[Row]] = {}
    for row in rows_of(records, "accuracy"):
        by_metrics.setdefault(tuple(row.record["accuracy"]["metrics"]), []).append(row)
    return [_accuracy_table(metrics, rows) for metrics, rows in by_metrics.items()]


def _accuracy_table(metrics: Sequence[str], rows: list[Row]) -> Table:
    columns = label_columns(rows)
    for place, name in enumerate(metrics):
        key = ("accuracy", "metrics", name)
        columns.append(_numbers(rows, name, readable.score, *key, "value"))
        if any(row.record["accuracy"]["metrics"][name]["interval"] for row in rows):
            cells = [_interval(row.record, key) for row in rows]
            columns.append(Column("95% interval", cells, importance=60 - place))
    if any(row.record["accuracy"]["input_shift"] for row in rows):
        shift = ("accuracy", "input_shift")
        differs = [bool((row.record["accuracy"]["input_shift"] or {}).get("shape_differs")) for row in rows]
        moved = _numbers(rows, "input shift", readable.number, *shift, "mean_abs").cells
        cells = ["shape" if odd else cell for odd, cell in zip(differs, moved)]
        note = "input shift: mean |difference| of the input tensors from the stated pre-processing's"
        columns.append(Column("input shift", cells, note=note))
        columns.append(_numbers(rows, "max shift", readable.number, *shift, "max_abs", importance=40))
    columns.append(_numbers(rows, "n", readable.number, "accuracy", "n", importance=80))
    errors = [row.record["accuracy"]["errors"] for row in rows]
    # Without an error the column says little; with one it must not be missed.
    columns.append(Column("errors", [f"{count:,}" for count in errors], importance=100 if any(errors) else 50))
    columns.append(
        _numbers(rows, "samples/s", readable.number, "accuracy", "samples_per_second", importance=20),
    )
    columns += verdict_columns(rows)
    return Table("accuracy", columns, groups(rows), captions(rows), [*_chance(metrics, rows), *_from_itself(rows)])


def _chance(metrics: Sequence[str], rows: Sequence[Row]) -> list[Note]:
    notes: list[Note] = []
    for name in metrics:
        values = [MetricValue(**row.record["accuracy"]["metrics"][name]) for row in rows]
        guesses = [value.chance for value in values if value.chance is not None and value.is_chance]
        notes += [
            Note(
                f"{name} is no better than chance ({readable.score(chance)}): labels may count from 1, or stand for "
                "classes in another order than the model's, or a pre-processing step may be wrong "
                f"({readable.plural(guesses.count(chance), 'case')})"
            )
            for chance in sorted(set(guesses))
        ]
    return notes


def _from_itself(rows: Sequence[Row]) -> list[Note]:
    found = [number(row.record, "accuracy", "self_difference") for row in rows]
    known = [value for value in found if value is not None]
    if not known:
        return []
    return [
        Note(
            f"the model differs from itself by up to {max(known):.3g} when it predicts the same rows twice, so that "
            f"its accuracy is that of one draw ({readable.plural(len(known), 'case')})"
        )
    ]


def parity_tables(records: Sequence[Record]) -> list[Table]:
    """At most one table."""
    rows = rows_of(records, "parity")
    if not rows:
        return []
    references = [row.record["parity"]["reference"] for row in rows]
    tolerances = [_tolerance(row.record) for row in rows]
    columns = label_columns(rows)
    shared = []
    if len(set(references)) == 1:
        shared.append(f"against {references[0]}")
    else:
        columns.append(Column("against", references, "left", shorten=True))
    if len(set(tolerances)) == 1:
        shared.append(f"tolerance {tolerances[0]}")
    mismatched = [bool(row.record["parity"]["mismatch"]) for row in rows]
    largest = _numbers(rows, "max abs", readable.difference, "parity", "max_abs").cells
    columns.append(Column("max abs", ["mismatch" if odd else cell for odd, cell in zip(mismatched, largest)]))
    columns.append(_numbers(rows, "max rel", readable.difference, "parity", "max_rel", importance=70))
    columns.append(_numbers(rows, "cosine", readable.score, "parity", "cosine", importance=10))
    columns.append(_numbers(rows, "PSNR dB", readable.decibels, "parity", "psnr", importance=12))
    columns.append(_numbers(rows, "top-1 agree", readable.score, "parity", "top1_agreement", importance=60))
    columns.append(_numbers(rows, "top-5 agree", readable.score, "parity", "top5_agreement", importance=11))
    if len(set(tolerances)) > 1:
        columns.append(Column("tolerance", tolerances, importance=50))
    violations = [row.record["parity"]["violations"] for row in rows]
    beyond = Column("beyond", [f"{count:,}" for count in violations], importance=15)
    if any(violations):
        beyond = replace(beyond, importance=45, note="beyond: elements outside the tolerance")
    columns.append(beyond)
    columns.append(_numbers(rows, "n", readable.number, "parity", "n", importance=65))
    columns += verdict_columns(rows)
    above = [*captions(rows), *([" · ".join(shared)] if shared else [])]
    return [Table("parity", columns, groups(rows), above)]


def latency_tables(records: Sequence[Record]) -> list[Table]:
    """At most one table."""
    rows = rows_of(records, "latency")
    if not rows:
        return []
    columns = label_columns(rows)
    importance = {"p50": 100, "p99": 75, "p90": 60, "p95": 55, "p99.9": 25}
    bounded = _bounded_percentiles(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.record["latency"]["percentiles"]))
    for name in names:
        cells = [_percentile(row.record, name) for row in rows]
        if name in bounded:
            importance[name] = _BOUNDED
        elif name != "p50" and all(row.record["latency"]["percentiles"].get(name) is None for row in rows):
            if name == "p99.9":
                continue  # a sample rarely is that large
            importance[name] = _NOWHERE_KNOWN
        columns.append(Column(name, cells, importance=importance.get(name, 50), note=_TOO_FEW, note_mark="n<"))
    columns.append(_numbers(rows, "± p50", readable.share, "latency", "relative_error", importance=65))
    if any(row.record["latency"]["restarts"] for row in rows):
        between = _numbers(rows, "between", readable.share, "latency", "restarts", "spread", importance=52)
        columns.append(replace(between, note=_BETWEEN))
    columns.append(_numbers(rows, "samples/s", readable.number, "latency", "throughput", importance=70))
    columns += _server_columns(rows)
    columns.append(_numbers(rows, "load", readable.seconds, "latency", "load_seconds", importance=40))
    columns.append(_numbers(rows, "peak memory", readable.memory, "latency", "peak_memory", importance=45))
    columns.append(_numbers(rows, "calls", readable.number, "latency", "n", importance=30))
    columns += verdict_columns(rows)
    shown = [row.record for row in rows]
    notes = [Note(line) for line in (*scenario_notes(shown), *latency_remarks(shown))]
    return [Table("latency", columns, groups(rows), captions(rows), notes)]


def _bounded_percentiles(rows: Sequence[Row]) -> set[str]:
    """What the manifests hold against bounds: ``p90``, beside checks of other names."""
    checks = {check["name"] for row in rows for check in row.record["checks"]}
    servers = [server for row in rows if (server := row.record["latency"]["server"])]
    return checks | {f"p{server['percentile']:g}" for server in servers if server["latency_bound"] is not None}


def _server_columns(rows: list[Row]) -> list[Column]:
    servers = [row.record["latency"]["server"] for row in rows]
    if not any(servers):
        return []
    asked = _numbers(rows, "asked/s", readable.number, "latency", "server", "qps", importance=68)
    columns = [replace(asked, note="asked/s: the Poisson rate of queries")]
    if any(server and server["unanswered"] for server in servers):
        cells = [f"{server['unanswered']:,}" if server else ABSENT for server in servers]
        columns.append(Column("unanswered", cells, importance=100))
    columns.append(_numbers(rows, "queued p50", readable.seconds, "latency", "server", "queued", "p50", importance=28))
    columns.append(_numbers(rows, "per batch", readable.number, "latency", "server", "mean_batch", importance=27))
    return columns


def profiler_tables(records: Sequence[Record]) -> list[Table]:
    """One table a profiler, of the readings it gave; sensors that no case had stand below it, with the reason."""
    rows = rows_of(records, "readings")
    profilers = sorted({name for row in rows for name in row.record["readings"]})
    return [table for name in profilers if (table := _profiler_table(name, rows))]


def _profiler_table(profiler: str, rows: list[Row]) -> Table | None:
    rows = [row for row in rows if row.record["readings"].get(profiler)]
    values: dict[tuple[str, str], list[str]] = {}
    missing: dict[str, set[str]] = {}
    lacking: dict[str, set[int]] = {}
    for place, row in enumerate(rows):
        for index, reading in enumerate(row.record["readings"][profiler]):
            value = number(row.record, "readings", profiler, index, "value")
            if value is None:
                note = reading["note"].removeprefix("not available").lstrip(": ")
                missing.setdefault(note, set()).add(reading["name"])
                lacking.setdefault(note, set()).add(place)
            else:
                name = (reading["name"], reading["unit"])
                values.setdefault(name, [ABSENT] * len(rows))[place] = _reading(value, reading["unit"])
    if not rows:
        return None
    columns = [
        Column(_reading_title(name, unit), cells, importance=_reading_importance(name, unit))
        for (name, unit), cells in values.items()
    ]
    notes = []
    for note, names in missing.items():
        # Where a profiler saw nothing at all, the reason says it; else it matters which sensors were missing.
        which = f"{', '.join(sorted(names))} " if columns else ""
        cases = readable.plural(len(lacking[note]), "case")
        notes.append(Note(f"{which}not available{f': {note}' if note else ''} ({cases})"))
    if not columns:
        return Table(f"profiler {profiler}", [], [], (), notes)
    return Table(f"profiler {profiler}", [*label_columns(rows), *columns], groups(rows), captions(rows), notes)


def _reading(value: float, unit: str) -> str:
    if unit in ("B", "bytes"):
        return readable.memory(value)
    if unit in ("s", "seconds"):
        return readable.seconds(value)
    return readable.number(value)


def _reading_importance(name: str, unit: str) -> int:
    # The peak of a sampled rate is one coarse sample; of memory, the peak is what counts.
    return 20 if name.endswith(" peak") and unit not in ("B", "bytes") else KEEP


def _reading_title(name: str, unit: str) -> str:
    return name if not unit or unit in ("B", "bytes", "s", "seconds") else f"{name} [{unit}]"


def _numbers(
    rows: Sequence[Row], title: str, show: Callable[[float], str], *keys: str, importance: int = 100
) -> Column:
    values = [number(row.record, *keys) for row in rows]
    return Column(title, [ABSENT if value is None else show(value) for value in values], importance=importance)


def _interval(record: Record, key: tuple[str, ...]) -> str:
    if record["accuracy"]["metrics"][key[-1]]["interval"] is None:
        return ABSENT
    bounds = [number(record, *key, "interval", end) for end in (0, 1)]
    return "–".join(readable.score(bound) for bound in bounds if bound is not None)


def _tolerance(record: Record) -> str:
    if record["parity"]["tolerance_source"] in ("exact", "agreement"):
        return str(record["parity"]["tolerance_source"])
    absolute, relative = (number(record, "parity", name) or 0.0 for name in ("abs_tolerance", "rel_tolerance"))
    shown = f"{absolute:.3g} + {relative:.3g} × |b|" if relative else f"{absolute:.3g}"
    return f"{shown} ({record['parity']['tolerance_source']})"


def _percentile(record: Record, name: str) -> str:
    value = number(record, "latency", "percentiles", name) if name in record["latency"]["percentiles"] else None
    if value is not None:
        return readable.seconds(value)
    if (server := record["latency"]["server"]) and server["unanswered"]:
        return ABSENT
    return f"n<{minimum_samples(float(name.removeprefix('p'))):,}"
