"""Aligned columns within a terminal's width: less important columns go first, numbers are never cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len
from rich.text import Text

from pytest_mlscope.columns import KEEP, Column, Note
from pytest_mlscope.reports.text import TerminalText

_GAP = 2
_INDENT = 2
_NAME_WIDTH = 12
"""Names are shortened to no less than this before a column is dropped."""
_SHORTEST_NAME = 9
_LAST_RESORT = 5
"""Where seven columns of names stand before one wide number, which is never cut."""


@dataclass(frozen=True)
class Table:
    """Columns of equally many rows. Rows of one group stand together under the group's name."""

    title: str
    columns: Sequence[Column]
    groups: Sequence[str]
    """The group of each row; ``""`` for rows of no group."""
    captions: Sequence[str] = field(default=())
    """Lines above the columns."""
    notes: Sequence[Note] = field(default=())
    """Lines below the columns and their own notes."""

    @property
    def rows(self) -> int:
        return len(self.groups)

    def first(self, rows: int) -> Table:
        """The table without the rows after the first ``rows``."""
        columns = [replace(c, cells=c.cells[:rows], styles=c.styles[:rows]) for c in self.columns]
        return replace(self, columns=columns, groups=self.groups[:rows])


def lay_out(table: Table, width: int, text: TerminalText) -> tuple[list[Text], list[str], list[str]]:
    """The lines of a table's columns, the notes of those shown, and the titles of the columns that had no room.

    Where even the columns that must be shown are too wide together, they are stacked: the label columns are repeated
    with the next columns below.
    """
    columns = [replace(c, title=text(c.title), cells=[text(cell) for cell in c.cells]) for c in table.columns]
    groups = [text(group) for group in table.groups]
    widths = [_natural(column) for column in columns]
    room = width - _INDENT
    dropped: list[int] = []

    def shown() -> list[int]:
        return [index for index in range(len(columns)) if index not in dropped]

    while _total([widths[i] for i in shown()]) > room:
        chosen = shown()
        if _shrink(columns, widths, chosen, room, _NAME_WIDTH):
            break
        droppable = [i for i in chosen if columns[i].importance < KEEP]
        if not droppable:
            if not _shrink(columns, widths, chosen, room, _SHORTEST_NAME):
                widths = [min(_natural(c), _NAME_WIDTH) if c.shorten else _natural(c) for c in columns]
                labels = [i for i in chosen if columns[i].label]
                widest = max((i for i in chosen if i not in labels), key=lambda i: widths[i])
                for least in (_SHORTEST_NAME, _LAST_RESORT):
                    if _shrink(columns, widths, [*labels, widest], room, least):
                        break
            break
        dropped.append(min(droppable, key=lambda i: (columns[i].importance, -i)))
        # With a column gone, names may have room again.
        widths = [_natural(column) for column in columns]
    lines: list[Text] = []
    for block in _stack(columns, widths, shown(), room):
        if lines:
            lines.append(Text())
        lines += _render([columns[i] for i in block], [widths[i] for i in block], groups, width, text)
    notes = dict.fromkeys(note for i in shown() if (note := columns[i].needed_note))
    return lines, list(notes), [columns[i].title for i in sorted(dropped)]


def _natural(column: Column) -> int:
    return max(cell_len(value) for value in (column.title, *column.cells))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _shrink(columns: Sequence[Column], widths: list[int], chosen: list[int], room: int, least: int) -> bool:
    """Narrow the widest names until everything fits; whether it does."""
    excess = _total([widths[i] for i in chosen]) - room
    names = [i for i in chosen if columns[i].shorten and not (columns[i].shorten_last and least == _NAME_WIDTH)]
    if least == _NAME_WIDTH and excess > sum(max(0, widths[i] - least) for i in names):
        return False
    while excess > 0:
        widest = max(names, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= least:
            return False
        widths[widest] -= 1
        excess -= 1
    return True


def _stack(columns: Sequence[Column], widths: Sequence[int], chosen: list[int], room: int) -> list[list[int]]:
    if _total([widths[i] for i in chosen]) <= room:
        return [chosen]
    labels = [i for i in chosen if columns[i].label]
    blocks: list[list[int]] = [list(labels)]
    for index in (i for i in chosen if not columns[i].label):
        if len(blocks[-1]) > len(labels) and _total([widths[i] for i in (*blocks[-1], index)]) > room:
            blocks.append(list(labels))
        blocks[-1].append(index)
    return blocks


def _render(
    columns: Sequence[Column], widths: Sequence[int], groups: Sequence[str], width: int, text: TerminalText
) -> list[Text]:
    lines = [_line(columns, widths, [column.title for column in columns], ["bold"] * len(columns), text)]
    group = ""
    for row, row_group in enumerate(groups):
        if row_group != group:
            lines.append(Text(text.shorten(row_group, width), style="bold"))
            group = row_group
        cells = [column.cells[row] for column in columns]
        styles = [column.styles[row] if column.styles else "" for column in columns]
        lines.append(_line(columns, widths, cells, styles, text))
    return lines


def _line(
    columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str], styles: Sequence[str], text: TerminalText
) -> Text:
    line = Text(" " * _INDENT)
    for index, (column, width, cell, style) in enumerate(zip(columns, widths, cells, styles)):
        value = text.shorten(cell, width) if column.shorten else cell
        padding = " " * (width - cell_len(value))
        if index:
            line.append(" " * _GAP)
        if column.align == "right":
            line.append(padding).append(value, style=style or None)
        else:
            line.append(value, style=style or None).append(padding)
    line.rstrip()
    return line
