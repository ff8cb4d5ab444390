"""Aligned columns."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mlscope.cli.folding import folded
from pytest_mlscope.errors import shown


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Rows under a header; the last column is as long as it is, or folded into what of ``width`` is left for it."""
    # A layer's or a version's name is a model file's or a server's.
    table = [list(header), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    start = sum(widths[:-1]) + 2 * len(widths[:-1])
    lines = ("  ".join(cell.ljust(columns) for cell, columns in zip(row, widths)).rstrip() for row in table)
    return "\n".join(
        line[:start] + folded(" " * start + line[start:], width=width, indent=start)[start:] for line in lines
    )
