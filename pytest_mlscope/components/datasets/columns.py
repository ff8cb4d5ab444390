"""What datasets share: names checked with a suggestion, rows taken without copying where they are neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import DatasetError
from pytest_mlscope.text import closest


def require_columns(source: str, wanted: Iterable[str], available: Iterable[str]) -> None:
    """See that a source has the columns that are wanted.

    >>> require_columns("rows.csv", ["lable"], ["image", "label"])
    Traceback (most recent call last):
    pytest_mlscope.errors.DatasetError: rows.csv: no column 'lable'; did you mean 'label'? columns: image, label

    :param source: what the message begins with.
    :raises DatasetError: for the first wanted column that ``source`` has not, with what it has.
    """
    known = list(available)
    # A set: a table may have thousands of columns, and a vector may ask for each of them.
    present = set(known)
    for column in wanted:
        if column not in present:
            close = closest(column, known)
            hint = f"did you mean {close!r}? " if close else ""
            shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise DatasetError(f"{source}: no column {column!r}; {hint}columns: {shown}")


def is_number(text: str) -> bool:
    """Whether text is a finite number, written as in a table.

    >>> is_number("1e-3"), is_number("nan"), is_number("1_000")
    (True, False, False)
    """
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


def runs(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Ascending rows in pieces of neighbours.

    >>> [run.tolist() for run in runs(np.array([0, 1, 2, 7, 8]))]
    [[0, 1, 2], [7, 8]]
    """
    return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)


def take_rows(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """The given ascending rows; a view where they are neighbours.

    >>> squares = np.arange(5) ** 2
    >>> take_rows(squares, np.array([1, 2])).base is squares, take_rows(squares, np.array([0, 4])).tolist()
    (True, [0, 16])
    """
    if not len(rows):
        return array[:0]
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return array[first : last + 1]
    return array[rows]
