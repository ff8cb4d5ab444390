"""The tables of the summary, made of records: accuracy, parity, latency and what profilers saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from pytest_mlscope import quantities as readable
from pytest_mlscope.components import MetricValue
from pytest_mlscope.measurements import Accuracy, Latency, Parity, ServerRun
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.comparison_table import comparison_tables
from pytest_mlscope.reports.layout import Column, Note, Table
from pytest_mlscope.reports.readings import other_tables, profiler_tables, reading_cell, reading_title
from pytest_mlscope.reports.remarks import latency_remarks
from pytest_mlscope.reports.rows import Row, bound_columns, captions, groups, label_columns, rows_of
from pytest_mlscope.reports.scenario_notes import scenario_notes
from pytest_mlscope.statistics import minimum_samples

P = TypeVar("P")
ABSENT = "–"
_BOUNDED = 85
"""Importance of a percentile that the manifest bounds: more than of those that are only told."""
_NOWHERE_KNOWN = 20
_FIGURE = 42
"""Importance of what a plugin's scenario saw."""
_TOO_FEW = "n<N: the percentile needs at least N calls"
_BETWEEN = "between: spread of the medians of fresh processes, relative; ± p50 is within one"


def summary_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """Every table that has at least one row, in the order in which they are read."""
    return [
        *accuracy_tables(records),
        *parity_tables(records),
        *latency_tables(records),
        *other_tables(records),
        *comparison_tables(records),
        *profiler_tables(records),
    ]


def accuracy_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """One table for each set of metrics, so that models of different tasks do not share half-empty columns."""
    by_metrics: dict[tuple[str, ...], list[Row[Accuracy]]] = {}
    for row in rows_of(records, lambda record: record.accuracy):
        by_metrics.setdefault(tuple(row.part.metrics), []).append(row)
    return [_accuracy_table(metrics, rows) for metrics, rows in by_metrics.items()]


def _accuracy_table(names: Sequence[str], rows: list[Row[Accuracy]]) -> Table:
    columns = label_columns(rows)
    for place, name in enumerate(names):
        metrics = [row.part.metrics[name] for row in rows]
        note = f"{name}: lower is better" if any(metric.higher_is_better is False for metric in metrics) else ""
        columns.append(Column(name, [readable.score(metric.value) for metric in metrics], note=note))
        if any(metric.interval for metric in metrics):
            columns.append(Column("95% interval", list(map(_interval, metrics)), importance=60 - place))
    shifts = [row.part.input_shift for row in rows]
    if any(shifts):
        means = [None if shift is None else "shape" if shift.shape_differs else shift.mean_abs for shift in shifts]
        cells = [mean if isinstance(mean, str) else _shown(mean, readable.number) for mean in means]
        note = "input shift: mean |difference| of the input tensors from the stated pre-processing's"
        columns.append(Column("input shift", cells, note=note))
        largest = [_shown(shift.max_abs if shift else None, readable.number) for shift in shifts]
        columns.append(Column("max shift", largest, importance=40))
    columns.append(_numbers(rows, "n", readable.number, lambda accuracy: accuracy.n, importance=80))
    errors = [row.part.errors for row in rows]
    # Without an error the column says little; with one it must not be missed.
    columns.append(Column("errors", [f"{count:,}" for count in errors], importance=100 if any(errors) else 50))
    columns.append(
        _numbers(rows, "samples/s", readable.number, lambda accuracy: accuracy.samples_per_second, importance=20)
    )
    columns += bound_columns(rows)
    return Table("accuracy", columns, groups(rows), captions(rows), [*_chance(names, rows), *_from_itself(rows)])


def _chance(names: Sequence[str], rows: Sequence[Row[Accuracy]]) -> list[Note]:
    notes: list[Note] = []
    for name in names:
        values = [row.part.metrics[name] for row in rows]
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


def _from_itself(rows: Sequence[Row[Accuracy]]) -> list[Note]:
    found = [row.part.self_difference for row in rows]
    known = [value for value in found if value is not None]
    if not known:
        return []
    return [
        Note(
            f"the model differs from itself by up to {max(known):.3g} when it predicts the same rows twice, so that "
            f"its accuracy is that of one draw ({readable.plural(len(known), 'case')})"
        )
    ]


def parity_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """At most one table."""
    rows = rows_of(records, lambda record: record.parity)
    if not rows:
        return []
    references = [row.part.reference for row in rows]
    tolerances = [_tolerance(row.part) for row in rows]
    columns = label_columns(rows)
    shared = []
    if len(set(references)) == 1:
        shared.append(f"against {references[0]}")
    else:
        columns.append(Column("against", references, "left", shorten=True))
    if len(set(tolerances)) == 1:
        shared.append(f"tolerance {tolerances[0]}")
    mismatched = [bool(row.part.mismatch) for row in rows]
    largest = _numbers(rows, "max abs", readable.difference, lambda parity: parity.max_abs).cells
    columns.append(Column("max abs", ["mismatch" if odd else cell for odd, cell in zip(mismatched, largest)]))
    columns.append(_numbers(rows, "max rel", readable.difference, lambda parity: parity.max_rel, importance=70))
    columns.append(_numbers(rows, "cosine", readable.score, lambda parity: parity.cosine, importance=10))
    columns.append(_numbers(rows, "PSNR dB", readable.decibels, lambda parity: parity.psnr, importance=12))
    columns.append(_numbers(rows, "top-1 agree", readable.score, lambda parity: parity.top1_agreement, importance=60))
    columns.append(_numbers(rows, "top-5 agree", readable.score, lambda parity: parity.top5_agreement, importance=11))
    if len(set(tolerances)) > 1:
        columns.append(Column("tolerance", tolerances, importance=50))
    violations = [row.part.violations for row in rows]
    beyond = Column("beyond", [f"{count:,}" for count in violations], importance=15)
    if any(violations):
        beyond = replace(beyond, importance=45, note="beyond: elements outside the tolerance")
    columns.append(beyond)
    columns.append(_numbers(rows, "n", readable.number, lambda parity: parity.n, importance=65))
    columns += bound_columns(rows)
    above = [*captions(rows), *([" · ".join(shared)] if shared else [])]
    return [Table("parity", columns, groups(rows), above)]


def _shapes(latency: Latency) -> str:
    """The shapes of the inputs that were timed, where the manifest leaves them open."""
    texts = []
    for name, shapes in latency.shapes.items():
        first = "×".join(map(str, shapes[0]))
        texts.append(f"{name} {first}" if len(shapes) == 1 else f"{name} {first} and {len(shapes) - 1} more")
    return ", ".join(texts)


def latency_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """At most one table."""
    rows = rows_of(records, lambda record: record.latency)
    if not rows:
        return []
    columns = label_columns(rows)
    shapes = [_shapes(row.part) for row in rows]
    if any(shapes):
        note = "shape: of the timed inputs; another shape has another latency"
        columns.append(Column("shape", shapes, "left", importance=90, note=note))
    importance = {"p50": 100, "p99": 75, "p90": 60, "p95": 55, "p99.9": 25}
    bounded = _bounded_percentiles(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.part.percentiles))
    for name in names:
        cells = [_percentile(row.part, name) for row in rows]
        if name in bounded:
            importance[name] = _BOUNDED
        elif name != "p50" and all(row.part.percentiles.get(name) is None for row in rows):
            if name == "p99.9":
                continue  # a sample rarely is that large
            importance[name] = _NOWHERE_KNOWN
        columns.append(Column(name, cells, importance=importance.get(name, 50), note=_TOO_FEW, note_mark="n<"))
    columns.append(_numbers(rows, "± p50", readable.share, lambda latency: latency.relative_error, importance=65))
    if any(row.part.restarts for row in rows):
        between = _numbers(rows, "between", readable.share, _spread, importance=52)
        columns.append(replace(between, note=_BETWEEN))
    columns.append(_numbers(rows, "samples/s", readable.number, lambda latency: latency.throughput, importance=70))
    columns += _server_columns(rows)
    columns += _figure_columns(rows)
    columns.append(_numbers(rows, "load", readable.seconds, lambda latency: latency.load_seconds, importance=40))
    columns.append(_numbers(rows, "peak memory", readable.memory, lambda latency: latency.peak_memory, importance=45))
    columns.append(_numbers(rows, "calls", readable.number, lambda latency: latency.n, importance=30))
    columns += bound_columns(rows)
    notes = [Note(line) for line in (*scenario_notes(rows), *latency_remarks(rows))]
    return [Table("latency", columns, groups(rows), captions(rows), notes)]


def _spread(latency: Latency) -> float | None:
    return latency.restarts.spread if latency.restarts else None


def _bounded_percentiles(rows: Sequence[Row[Latency]]) -> set[str]:
    """What the manifests state bounds for: ``p90``, beside checks of other names."""
    checks = {check.name for row in rows for check in row.record.checks}
    servers = [server for row in rows if (server := row.part.server)]
    return checks | {f"p{server.percentile:g}" for server in servers if server.latency_bound is not None}


def _server_columns(rows: list[Row[Latency]]) -> list[Column]:
    servers = [row.part.server for row in rows]
    if not any(servers):
        return []

    def column(title: str, show: Callable[[float], str], value: Callable[[ServerRun], float | None]) -> Column:
        return Column(title, [_shown(value(server) if server else None, show) for server in servers])

    asked = column("asked/s", readable.number, lambda server: server.qps)
    columns = [replace(asked, importance=68, note="asked/s: the Poisson rate of queries")]
    if any(server and server.unanswered for server in servers):
        cells = [f"{server.unanswered:,}" if server else ABSENT for server in servers]
        columns.append(Column("unanswered", cells, importance=100))
    queued = column("queued p50", readable.seconds, lambda server: server.queued.get("p50"))
    columns.append(replace(queued, importance=28))
    columns.append(replace(column("per batch", readable.number, lambda server: server.mean_batch), importance=27))
    return columns


def _figure_columns(rows: Sequence[Row[Latency]]) -> list[Column]:
    """What the scenarios of plugins saw beside latencies."""
    cells: dict[tuple[str, str], list[str]] = {}
    for place, row in enumerate(rows):
        for figure in row.part.figures:
            if figure.value is not None:
                column = cells.setdefault((figure.name, figure.unit), [ABSENT] * len(rows))
                column[place] = reading_cell(figure.value, figure.unit)
    return [Column(reading_title(*name), column, importance=_FIGURE) for name, column in cells.items()]


def _numbers(
    rows: Sequence[Row[P]],
    title: str,
    show: Callable[[float], str],
    value: Callable[[P], float | None],
    *,
    importance: int = 100,
) -> Column:
    return Column(title, [_shown(value(row.part), show) for row in rows], importance=importance)


def _shown(value: float | None, show: Callable[[float], str]) -> str:
    return ABSENT if value is None else show(value)


def _interval(metric: MetricValue) -> str:
    return ABSENT if metric.interval is None else "–".join(map(readable.score, metric.interval))


def _tolerance(parity: Parity) -> str:
    if parity.tolerance_source in ("exact", "agreement"):
        return parity.tolerance_source
    absolute, relative = parity.abs_tolerance or 0.0, parity.rel_tolerance or 0.0
    shown = f"{absolute:.3g} + {relative:.3g} × |b|" if relative else f"{absolute:.3g}"
    return f"{shown} ({parity.tolerance_source})"


def _percentile(latency: Latency, name: str) -> str:
    value = latency.percentiles.get(name)
    if value is not None:
        return readable.seconds(value)
    # More calls would not help: the percentile belongs to a query without an answer.
    if latency.server and latency.server.unanswered:
        return ABSENT
    return f"n<{minimum_samples(float(name.removeprefix('p'))):,}"
