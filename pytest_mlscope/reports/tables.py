"""The tables of the summary, made of records: what each kind of measurement shows, comparisons, and profilers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_mlscope.kinds import Shown, shown_kinds
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.comparison_table import comparison_tables
from pytest_mlscope.reports.layout import Table
from pytest_mlscope.reports.readings import profiler_tables
from pytest_mlscope.reports.rows import Row, bound_columns, captions, groups, label_columns, rows_of


def summary_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """Every table that has at least one row, in the order in which they are read."""
    kinds = shown_kinds(records)
    measured = [table for name, shown in kinds.items() for table in _tables(name, shown, records)]
    return [*measured, *comparison_tables(records), *profiler_tables(records)]


def _tables(name: str, shown: Shown[Any], records: Sequence[EvaluationRecord]) -> Iterator[Table]:
    apart: dict[object, list[Row[Any]]] = {}
    for row in rows_of(records, shown.result_in, told_by_others=shown.told_by_others):
        apart.setdefault(shown.apart(row.part), []).append(row)
    for rows in apart.values():
        view = shown.view([row.part for row in rows], [row.record for row in rows])
        columns = [*label_columns(rows), *view.columns, *bound_columns(rows)]
        yield Table(name, columns, groups(rows), [*captions(rows), *view.captions], view.notes)
