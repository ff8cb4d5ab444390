"""The terminal summary as plain lines."""

from __future__ import annotations

from typing import Any

from pytest_mlscope.records.record import EvaluationRecord
from pytest_mlscope.reports.terminal import Summary


def sections_of(records: list[EvaluationRecord], *, width: int = 80, **options: Any) -> dict[str, list[str]]:
    summary = Summary(width=width, **options)
    return {title: [line.plain for line in lines] for title, lines in summary.sections(records)}


def column(lines: list[str], title: str) -> list[str]:
    """The cells under a right-aligned title, which must end where the title ends."""
    header = next(line for line in lines if f" {title} " in f"{line} ")
    end = header.index(f" {title}") + 1 + len(title)
    below = lines[lines.index(header) + 1 :]
    cells = []
    for line in below:
        if line.startswith("  ") and not line.startswith(("  input shift:", "  not shown")):
            assert len(line) <= end or line[end] == " ", f"{line!r} runs across the end of {title!r}"
            cells.append(line[:end].rsplit("  ", 1)[-1])
    return cells
