"""The summary at the end of a run, in pytest's own style, within the terminal's width and encoding."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console
from rich.text import Text

from pytest_mlscope.columns import Note
from pytest_mlscope.quantities import plural
from pytest_mlscope.records import EvaluationRecord
from pytest_mlscope.reports.layout import Table, lay_out
from pytest_mlscope.reports.reasons import failures, reasons
from pytest_mlscope.reports.tables import summary_tables
from pytest_mlscope.reports.text import TerminalText, wrap

ROWS = 60
"""Rows shown of a table, and failures listed, without ``-v``."""
ALIKE = 3
"""Tests named of those that failed for one reason, without ``-v``."""
NARROWEST = 40
"""Cells below which lines may be longer than the terminal is wide: numbers are not cut."""


def write_summary(
    terminalreporter: pytest.TerminalReporter, records: Sequence[EvaluationRecord], *, verbose: int
) -> None:
    """Print the tables, what could not run and what failed. Nothing when there is no record.

    :param verbose: pytest's verbosity; from 1 on every row is shown.
    """
    if not records:
        return
    writer = terminalreporter.config.get_terminal_writer()
    summary = Summary(
        width=writer.fullwidth,
        # pytest has no public name for its terminal's encoding.
        encoding=getattr(getattr(writer, "_file", None), "encoding", None) or "utf-8",
        rows=None if verbose >= 1 else ROWS,
    )
    console = _console(colour=writer.hasmarkup)
    terminalreporter.write_sep("=", "mlscope", bold=True)
    for title, lines in summary.sections(records):
        terminalreporter.write_sep("-", summary.text(title))
        for line in lines:
            terminalreporter.write_line(_render(console, line))


class Summary:
    """Sections of styled lines.

    :param width: cells of the terminal.
    :param encoding: of the terminal; what it lacks is written in ASCII.
    :param rows: most rows of a table; ``None`` for all.
    """

    def __init__(self, *, width: int, encoding: str = "utf-8", rows: int | None = ROWS) -> None:
        self.width = max(width, NARROWEST)
        self.text = TerminalText(encoding)
        self.rows = rows

    def sections(self, records: Sequence[EvaluationRecord]) -> list[tuple[str, list[Text]]]:
        """``(title, lines)`` of every section that has something to say."""
        sections = [(table.title, self._table(table)) for table in summary_tables(records)]
        sections += [
            ("could not run", self._reasons(records, "skipped")),
            ("failed, as expected", self._reasons(records, "xfailed")),
            ("passed, although expected to fail", self._reasons(records, "xpassed")),
            ("failed", self._failures(records)),
        ]
        return [(title, lines) for title, lines in sections if lines]

    def _table(self, table: Table) -> list[Text]:
        lines = [line for caption in table.captions for line in self._wrapped(caption, style="dim")]
        shown = table.first(self._first(table.rows))
        column_notes: list[str] = []
        dropped: list[str] = []
        if shown.columns:
            columns, column_notes, dropped = lay_out(shown, self.width, self.text)
            lines += columns
        for note in (*map(Note, column_notes), *table.notes):
            lines += self._with_command(note.text, note.command, style="dim")
        if dropped:
            lines += self._wrapped(f"not shown at this width: {', '.join(dropped)}", style="dim")
        return [*lines, *self._rest(table.rows - shown.rows)]

    def _first(self, count: int) -> int:
        """How many of so many are shown."""
        return count if self.rows is None else _but_never_one_less(count, self.rows)

    def _rest(self, count: int) -> list[Text]:
        if count <= 0:
            return []
        return self._wrapped(f"… and {count:,} more (-v shows all; --mlscope-json has every row)", style="dim")

    def _reasons(self, records: Sequence[EvaluationRecord], outcome: str) -> list[Text]:
        lines: list[Text] = []
        for reason in reasons(records, outcome):
            lines += self._with_command(reason.line, reason.command)
        return lines

    def _with_command(self, text: str, command: str | None, *, style: str = "") -> list[Text]:
        if not command:
            return self._wrapped(text, style=style)
        one_line = wrap(self.text(f"{text}; to enable: {command}"), self.width, first="  ")
        if len(one_line) == 1:
            return [Text(one_line[0], style=style)]
        return [*self._wrapped(text, style=style), *(Text(line, style=style) for line in self._command(command))]

    def _command(self, command: str) -> list[str]:
        """A command that can be copied: continued with a backslash where it is too long for a line."""
        words = self.text(command).split(" ")
        lines, line = [], f"    to enable: {words[0]}"
        for word in words[1:]:
            if len(line) + len(word) + 3 > self.width:
                lines.append(f"{line} \\")
                line = f"      {word}"
            else:
                line = f"{line} {word}"
        return [*lines, line]

    def _failures(self, records: Sequence[EvaluationRecord]) -> list[Text]:
        found = failures(records)
        shown = found[: self._first(len(found))]
        lines: list[Text] = []
        for failure in shown:
            count = len(failure.labels)
            named = failure.labels[: count if self.rows is None else _but_never_one_less(count, ALIKE)]
            lines += [Text(self.text.shorten(self.text(label), self.width), style="bold red") for label in named]
            unnamed = count - len(named)
            if unnamed:
                lines.append(Text(self.text(f"… and {plural(unnamed, 'more test')}"), style="red"))
            for message, command in failure.lines:
                lines += self._with_command(message, command)
        return [*lines, *self._rest(len(found) - len(shown))]

    def _wrapped(self, text: str, *, style: str = "") -> list[Text]:
        return [Text(line, style=style) for line in wrap(self.text(text), self.width, first="  ", following="    ")]


def _but_never_one_less(count: int, most: int) -> int:
    """Of ``count`` the first ``most``; all where one alone would be left, for saying so takes as much room as it."""
    return count if count == most + 1 else min(count, most)


def _console(*, colour: bool) -> Console:
    return Console(
        file=io.StringIO(),
        # Wide enough that rich never folds lines, which are folded already.
        width=10_000,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        emoji=False,
        markup=False,
        highlight=False,
        legacy_windows=False,
        force_jupyter=False,
    )


def _render(console: Console, line: Text) -> str:
    with console.capture() as capture:
        console.print(line, end="", soft_wrap=True)
    return capture.get()
