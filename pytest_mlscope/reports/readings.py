"""Tables of what profilers read: numbers with a name and a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_mlscope import quantities as readable
from pytest_mlscope.columns import ABSENT, KEEP, Column, Note
from pytest_mlscope.components import Reading
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.layout import Table
from pytest_mlscope.reports.rows import Row, captions, groups, label_columns, rows_of

Readings = Mapping[str, Sequence[Reading]]


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
                values.setdefault(name, [ABSENT] * len(rows))[place] = readable.measured(reading.value, reading.unit)
    if not rows:
        return None
    columns = [
        Column(readable.heading(name, unit), cells, importance=_importance(name, unit))
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


def _importance(name: str, unit: str) -> int:
    # The peak of a sampled rate is one coarse sample; of memory, the peak is what counts.
    return 20 if name.endswith(" peak") and unit not in ("B", "bytes") else KEEP
