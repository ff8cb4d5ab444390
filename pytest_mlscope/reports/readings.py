"""Tables of what profilers read, and of what further kinds of measurement gave: numbers with a name and a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_mlscope import quantities as readable
from pytest_mlscope.components import Reading
from pytest_mlscope.measurements import OtherMeasurement
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.layout import KEEP, Column, Note, Table
from pytest_mlscope.reports.rows import Row, bound_columns, captions, groups, label_columns, rows_of

Readings = Mapping[str, Sequence[Reading]]
ABSENT = "–"


def other_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """One table for each kind of measurement that a plugin or a conftest added, with the columns that it states."""
    found = rows_of(records, lambda record: record.measurements)
    kinds = dict.fromkeys(kind for row in found for kind in row.part)
    return [_other_table(kind, [row for row in found if kind in row.part]) for kind in kinds]


def _other_table(kind: str, rows: list[Row[Mapping[str, OtherMeasurement]]]) -> Table:
    measured = [row.part[kind] for row in rows]
    stated = {column.field: column for each in measured for column in each.columns}
    columns = [
        Column(
            reading_title(column.title, column.unit),
            [_cell(each.values.get(column.field), column.unit) for each in measured],
        )
        for column in stated.values()
    ]
    return Table(kind, [*label_columns(rows), *columns, *bound_columns(rows)], groups(rows), captions(rows))


def _cell(value: object, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return reading_cell(value, unit)
    return ABSENT if value is None else str(value)


def profiler_tables(records: Sequence[EvaluationRecord]) -> list[Table]:
    """One table a profiler, of the readings it gave; sensors that no case had stand below it, with the reason."""
    rows = rows_of(records, lambda record: record.readings)
    profilers = sorted({name for row in rows for name in row.part})
    return [table for name in profilers if (table := _profiler_table(name, rows))]


def _profiler_table(profiler: str, rows: list[Row[Readings]]) -> Table | None:
    rows = [row for row in rows if row.part.get(profiler)]
    values: dict[tuple[str, str], list[str]] = {}
    missing: dict[str, set[str]] = {}
    lacking: dict[str, set[int]] = {}
    for place, row in enumerate(rows):
        for reading in row.part[profiler]:
            if reading.value is None:
                missing.setdefault(reading.note, set()).add(reading.name)
                lacking.setdefault(reading.note, set()).add(place)
            else:
                name = (reading.name, reading.unit)
                values.setdefault(name, [ABSENT] * len(rows))[place] = reading_cell(reading.value, reading.unit)
    if not rows:
        return None
    columns = [
        Column(reading_title(name, unit), cells, importance=_importance(name, unit))
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


def reading_cell(value: float, unit: str) -> str:
    """A number with its unit, where that scales."""
    if unit in ("B", "bytes"):
        return readable.memory(value)
    if unit in ("s", "seconds"):
        return readable.seconds(value)
    return readable.number(value)


def _importance(name: str, unit: str) -> int:
    # The peak of a sampled rate is one coarse sample; of memory, the peak is what counts.
    return 20 if name.endswith(" peak") and unit not in ("B", "bytes") else KEEP


def reading_title(name: str, unit: str) -> str:
    """The heading of numbers in this unit, which stands there where no cell has it."""
    return name if not unit or unit in ("B", "bytes", "s", "seconds") else f"{name} [{unit}]"
