"""What results are shown by: columns of equally many cells, notes below them and captions above. Views lay them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

KEEP = 100
"""Importance of a column that is shown at any width."""
ABSENT = "–"
"""Cell of a row that has no such figure."""


@dataclass(frozen=True)
class Column:
    """A column: one cell a row."""

    title: str
    cells: Sequence[str]
    align: Literal["left", "right"] = "right"
    importance: int = KEEP
    """Of columns that are not :data:`KEEP`, the lowest is dropped first."""
    label: bool = False
    """Whether it says which row this is: repeated when a table is stacked."""
    shorten: bool = False
    """Whether the middle of its cells may be left out; for names only."""
    shorten_last: bool = False
    """Whether every column that may be dropped is dropped before this one is shortened."""
    styles: Sequence[str] = ()
    """A rich style a row; none when empty."""
    note: str = ""
    """A line below the table, where the column is shown."""
    note_mark: str = ""
    """What a cell must begin with for the note to be needed."""

    @property
    def needed_note(self) -> str:
        """The note, where a cell needs it."""
        return self.note if any(cell.startswith(self.note_mark) for cell in self.cells) else ""


@dataclass(frozen=True)
class Note:
    """A line below a table, and the command that would help."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class View:
    """What a table has beside the labels of its rows."""

    columns: Sequence[Column]
    """One cell a row each."""
    captions: Sequence[str] = ()
    """What all rows share, above the columns."""
    notes: Sequence[Note] = ()
    """Below the columns and their own notes."""


def shown(value: float | None, show: Callable[[float], str]) -> str:
    """A cell.

    >>> shown(None, "{:.1f}".format), shown(2.0, "{:.1f}".format)
    ('–', '2.0')
    """
    return ABSENT if value is None else show(value)


def numbers(
    title: str, values: Iterable[float | None], show: Callable[[float], str], *, importance: int = KEEP, note: str = ""
) -> Column:
    """A column of numbers, some of which may be absent."""
    return Column(title, [shown(value, show) for value in values], importance=importance, note=note)
