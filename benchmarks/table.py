"""A row of the table: ours, the other, their ratio, what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from pytest_mlscope.host.order_statistics import median_interval


@dataclass(frozen=True)
class Row:
    """One comparison. Where rounds were run, the ratio is the median over rounds of ours / other."""

    what: str
    ours: float | None
    other: float | None
    unit: str
    other_is: str
    """What the other column holds."""
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    """95 % interval of the ratio over rounds."""
    at_most: float | None = None
    at_least: float | None = None
    ours_at_most: float | None = None
    """Limit for our own value, for a cost that is no ratio."""
    difference_at_most: float | None = None
    """Limit for ours − other, likewise."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; ``None`` without one, or without a measurement."""
        if self.ours_at_most is not None:
            return None if self.ours is None else self.ours <= self.ours_at_most
        if self.difference_at_most is not None:
            return (
                None if self.ours is None or self.other is None else self.ours - self.other <= self.difference_at_most
            )
        if self.ratio is None or (self.at_most is None and self.at_least is None):
            return None
        above = self.at_least is None or self.ratio >= self.at_least
        return above and (self.at_most is None or self.ratio <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def paired(what: str, ours: Sequence[float], other: Sequence[float], *, unit: str, other_is: str, **target: Any) -> Row:
    """A row from rounds in which both sides ran next to each other."""
    ratios = np.array([a / b for a, b in zip(ours, other, strict=True)])
    return Row(
        what,
        median(ours),
        median(other),
        unit,
        other_is,
        ratio=float(np.median(ratios)),
        interval=median_interval(ratios),
        **target,
    )


def missing(what: str, *, unit: str, other_is: str, ours: float | None = None, why: str, **target: Any) -> Row:
    """A row whose other side is not there."""
    return Row(what, ours, None, unit, other_is, note=why, **target)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _target(row: Row) -> str:
    if row.ours_at_most is not None:
        return f"≤ {row.ours_at_most:g} {row.unit}"
    if row.difference_at_most is not None:
        return f"+{row.difference_at_most:g} {row.unit}"
    parts = [f"≥ {row.at_least:g}"] if row.at_least is not None else []
    return " ".join(parts + ([f"≤ {row.at_most:g}"] if row.at_most is not None else []))


def _cells(row: Row) -> tuple[str, ...]:
    ratio = _number(row.ratio)
    if row.ratio is not None and row.interval is not None:
        ratio += f" ({row.interval[0]:.3f}…{row.interval[1]:.3f})"
    if row.ratio is None and row.ours is not None and row.other is not None:
        ratio = f"{row.ours - row.other:+.3g} {row.unit}"
    verdict = {True: "yes", False: "NO", None: ""}[row.met]
    return (
        row.what,
        f"{_number(row.ours)} {row.unit}",
        row.note if row.other is None and row.note else f"{_number(row.other)} {row.unit}",
        row.other_is,
        ratio,
        _target(row),
        verdict,
    )


def render(rows: Sequence[Row]) -> str:
    """The rows as an aligned table."""
    header = ("what", "ours", "other", "other is", "ratio", "target", "met?")
    table = [header, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{row.what}: {row.note}" for row in rows if row.note and row.other is not None]
    return "\n".join([*lines, *notes])
