"""What the rows of every table have in common: which case, which model, whether its bounds hold."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_mlscope.columns import Column
from pytest_mlscope.manifest import SHOWN, SUFFIX
from pytest_mlscope.option_values import PRECISIONS
from pytest_mlscope.records import CaseRecord, EvaluationRecord, encode, fields_of
from pytest_mlscope.reports.values import framework_version, resolved_precision

P = TypeVar("P")

_TITLES = {"batch_size": "batch"}
_STATED = "stated"
_WORST_FIRST = ("failed", "error", "xpassed", "xfailed", "skipped", "passed")
_BOUNDS = {
    "failed": ("FAILED", "bold red"),
    "error": ("ERROR", "bold red"),
    "xpassed": ("xpassed", "yellow"),
    "xfailed": ("xfailed", "yellow"),
    "skipped": ("skipped", "yellow"),
}


@dataclass(frozen=True)
class Row(Generic[P]):
    """One case in one table."""

    record: EvaluationRecord
    """Of the manifest's own test item, where there is one."""
    case: CaseRecord
    part: P
    """What the table shows of the record."""
    model: str
    """Name and version; the manifest's path too, where another manifest of the run has the same."""
    outcome: str | None
    """Of the manifest's own test item; ``None`` where only hand-written tests looked at this measurement."""
    judged: bool
    """Whether the manifest expects something of it."""


def rows_of(
    records: Sequence[EvaluationRecord],
    part_of: Callable[[EvaluationRecord], P | None],
    *,
    told_by_others: Collection[str] = (),
) -> list[Row[P]]:
    """A row for each measurement of a part of evaluations, sorted by model and case.

    Several test items may look at one measurement, or evaluate a case again with the same result: it is one row.

    :param told_by_others: fields of the part that do not tell two results apart, because others do.
    """
    rows: dict[str, Row[P]] = {}
    models = models_of(records)
    for record in records:
        case, part = record.case, part_of(record)
        if not case or not part:
            continue
        of_manifest = is_of_manifest(record)
        model = models[model_key(case)]
        judged = of_manifest and bool(record.checks)
        row = Row(record, case, part, model, record.outcome if of_manifest else None, judged)
        # A case's id depends on the test's parametrization.
        key = json.dumps([record.key, _plain(replace(case, id="")), _plain(part, told_by_others)], sort_keys=True)
        same = rows.get(key)
        rows[key] = _joined(same, row) if same else row
    return sorted(rows.values(), key=_order)


def _plain(part: Any, told_by_others: Collection[str] = ()) -> Any:
    """What tells a result from another."""
    if not is_dataclass(part):
        return repr(part)
    not_finite: dict[str, str] = {}
    values = {
        field.name: encode(getattr(part, field.name), field.hint, at=field.name, not_finite=not_finite, packed=True)
        for field in fields_of(type(part))
        if field.name not in told_by_others
    }
    return [values, not_finite]


def _joined(one: Row[P], other: Row[P]) -> Row[P]:
    if one.outcome is None or other.outcome is None:
        return other if one.outcome is None and other.outcome is not None else one
    worst = min(one.outcome, other.outcome, key=_WORST_FIRST.index)
    return replace(one, outcome=worst, judged=one.judged or other.judged)


def _order(row: Row[Any]) -> tuple[Any, ...]:
    case = row.case
    return (
        *(case.model, case.model_version, case.manifest, case.framework),
        _release(framework_version(row.record)),
        case.hardware,
        PRECISIONS.index(case.precision),
        (isinstance(case.threads, str), 0 if isinstance(case.threads, str) else case.threads),
        case.batch_size,
        case.scenario,
        (case.preprocessing != _STATED, case.preprocessing),
        row.record.nodeid,
    )


def _release(version: str | None) -> tuple[int, ...]:
    """The numbers a version begins with: 1.9 stands before 1.20."""
    match = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(map(int, match[0].split("."))) if match else ()


def groups(rows: Sequence[Row[Any]]) -> list[str]:
    """The group of each row: its model, unless every model has one row only, which then names the model itself."""
    return [""] * len(rows) if _one_row_a_model(rows) else [row.model for row in rows]


def label_columns(rows: Sequence[Row[Any]]) -> list[Column]:
    """Columns that say which case a row is: the framework and the dimensions in which these rows differ."""
    columns = []
    if _one_row_a_model(rows):
        columns.append(Column("model", [row.model for row in rows], "left", label=True, shorten=True))
    frameworks = [row.case.framework for row in rows]
    columns.append(Column("framework", frameworks, "left", label=True, shorten=True, shorten_last=True))
    if len({_identity(row) for row in rows}) < len(rows):
        # One case measured by several tests.
        tests = [test_name(row.record) for row in rows]
        columns.append(Column("test", tests, "left", label=True, shorten=True))
    versions = [framework_version(row.record) for row in rows]
    if any(versions):
        # Two versions of one framework would otherwise be rows that look alike.
        several = any(len({v for f, v in zip(frameworks, versions) if f == name}) > 1 for name in set(frameworks))
        cells = [version or "" for version in versions]
        columns.append(Column("version", cells, "left", importance=100 if several else 35, label=True, shorten=True))
    for name in SHOWN:
        values = [_value(row, name) for row in rows]
        if len(set(values)) > 1:
            right = name in ("threads", "batch_size")
            columns.append(
                Column(
                    _TITLES.get(name, name),
                    values,
                    "right" if right else "left",
                    label=True,
                    shorten=name in ("hardware", "precision", "preprocessing", "scenario"),
                    shorten_last=name == "precision",
                )
            )
    return columns


def captions(rows: Sequence[Row[Any]]) -> list[str]:
    """What all rows share, on one line."""
    shared = []
    for name in SHOWN:
        values = {_value(row, name) for row in rows}
        if len(values) == 1 and not (name == "preprocessing" and values == {_STATED}):
            shared.append(_phrase(name, values.pop()))
    return [" · ".join(shared)] if shared else []


def bound_columns(rows: Sequence[Row[Any]]) -> list[Column]:
    """Whether the manifest's bounds hold: passed, failed, or none stated. No column where no test of its own ran."""
    found = [_bounds(row) for row in rows]
    if not any(name for name, _ in found):
        return []
    return [Column("bounds", [name for name, _ in found], "left", styles=[style for _, style in found])]


def _bounds(row: Row[Any]) -> tuple[str, str]:
    if row.outcome is None:
        return "", ""
    return _BOUNDS.get(row.outcome, ("passed", "green") if row.judged else ("no bound", "dim"))


def is_of_manifest(record: EvaluationRecord) -> bool:
    """Whether it is of a manifest's own test item, not of a hand-written test."""
    return record.nodeid.partition("::")[0].endswith(SUFFIX)


def test_name(record: EvaluationRecord) -> str:
    """The function's name in a node id: ``test_fast`` of ``suite/test_digits.py::TestSpeed::test_fast[cpu-fp32]``."""
    return record.nodeid.partition("::")[2].partition("[")[0].rpartition("::")[2] or record.nodeid


def case_label(case: CaseRecord) -> str:
    """A case on one line: model, framework and its id's further dimensions."""
    return f"{case.model} {case.id or case.framework}"


def _phrase(name: str, value: str) -> str:
    if name == "threads":
        return "1 thread" if value == "1" else f"{value} threads"
    if name in ("batch_size", "preprocessing"):
        return f"{_TITLES.get(name, name)} {value}"
    return value


def _value(row: Row[Any], name: str) -> str:
    value = str(getattr(row.case, name)).replace("framework_default", "default")
    if name != "precision":
        return value
    # What a framework chose, or made of what it was asked for, is not to be missed.
    resolved = resolved_precision(row.record)
    return value if resolved in (None, row.case.precision) else f"{value} ({resolved})"


def _name(case: CaseRecord) -> str:
    return f"{case.model} {case.model_version}"


def model_key(case: CaseRecord) -> tuple[str, str]:
    """Name and manifest path."""
    return _name(case), case.manifest


def models_of(records: Sequence[EvaluationRecord]) -> dict[tuple[str, str], str]:
    """:func:`model_key` to what the model is called; of paths, what those of one name do not share."""
    paths: dict[str, list[str]] = {}
    for case in (record.case for record in records if record.case):
        same = paths.setdefault(_name(case), [])
        if case.manifest not in same:
            same.append(case.manifest)
    return {
        (name, path): name if len(same) == 1 else f"{name} ({shorter})"
        for name, same in paths.items()
        for path, shorter in zip(same, _without_what_is_shared(same))
    }


def _without_what_is_shared(paths: Sequence[str]) -> list[str]:
    folders = [str(Path(path).parent) for path in paths]
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # on different drives, or one of them relative
        return list(paths)
    return [os.path.relpath(path, shared or os.curdir) for path in paths]


def _identity(row: Row[Any]) -> tuple[str, ...]:
    case = row.case
    return (row.model, case.framework, str(case.version), *(str(getattr(case, name)) for name in SHOWN))


def _one_row_a_model(rows: Sequence[Row[Any]]) -> bool:
    counts = Counter(row.model for row in rows)
    if any(row.model != _name(row.case) for row in rows):
        return False  # a cell's middle may be left out, and with it what tells two paths apart
    return len(counts) > 1 and max(counts.values()) == 1
