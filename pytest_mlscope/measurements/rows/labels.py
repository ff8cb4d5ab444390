"""Labels as metrics read them: class names become class numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import Column, is_number
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.text import closest


def _is_numeral(text: str) -> bool:
    # int64 has at most 19 digits, and int() raises for text of thousands.
    return len(text) < 20 and text.isascii() and text.isdigit() and str(int(text)) == text


class LabelReader:
    """Turns a label column into an array: text by class names, numbers as they are."""

    def __init__(
        self,
        column: str,
        class_names: Sequence[str] | None,
        *,
        stated: bool = True,
        as_numbers: Callable[[str], str] = "store the labels as {}".format,
    ) -> None:
        """:param stated: whether the manifest states the names, or the source has them.
        :param as_numbers: from a dtype to what makes the column numbers of it, where it holds text."""
        self._column = column
        self._as_numbers = as_numbers
        names = tuple(class_names or ())
        self._numbers = None if class_names is None else {name: number for number, name in enumerate(names)}
        if not stated and all(name.isascii() and name.isdecimal() and len(name) < 19 for name in names):
            # "10" sorts before "2": a folder called by a number is that class.
            self._numbers = {name: int(name) for name in names} or None
        # Names 0, 1, 2 … say the same either way.
        self._numerals = stated and any(_is_numeral(name) and name != str(place) for place, name in enumerate(names))

    def __call__(self, values: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Labels of the given rows, shape ``(rows, …)``; int64 for class names.

        :raises DatasetError: naming the row, for a name that is no class's and for labels that are no numbers.
        """
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            return self._by_numeral(values, rows)
        items = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if any(isinstance(item, str) for item in items):
            return self._by_name(items, rows)
        try:
            labels = np.asarray(items)
        except ValueError:
            # Labels of several shapes: no array of numbers, and so refused below with the others.
            labels = np.asarray(None)
        if labels.dtype.kind not in "biuf":
            raise DatasetError(
                f"label column {self._column!r}: labels are numbers of one shape or class names, not "
                f"{type(items[0]).__name__}"
            )
        return self._by_numeral(labels, rows)

    def _by_numeral(self, values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Integers of a source that reads numerals as numbers, where a class is named by another's number."""
        if not self._numerals or values.dtype.kind not in "iu" or values.size != len(values):
            return np.array(values)
        return self._by_name([str(value) for value in values.reshape(-1).tolist()], rows)

    def _by_name(self, names: Sequence[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._numbers is None and all(isinstance(name, str) and is_number(name) for name in names):
            dtype = "int64" if all(_is_numeral(name) for name in names) else "float64"
            raise DatasetError(
                f"label column {self._column!r} holds numbers as text ({names[0]!r} in row {rows[0]}); "
                f"{self._as_numbers(dtype)}"
            )
        if self._numbers is None:
            raise DatasetError(
                f"label column {self._column!r} holds text ({names[0]!r} in row {rows[0]}) and no class names are "
                "known; list them under the output's `labels`"
            )
        numbers = np.empty(len(names), dtype=np.int64)
        for position, name in enumerate(names):
            number = self._numbers.get(name)
            if number is None:
                close = closest(name, self._numbers)
                hint = f"; did you mean {close!r}?" if close else ""
                if not self._numerals and isinstance(name, str) and _is_numeral(name):
                    hint = f"; if it is a class number, {self._as_numbers('int64')}"
                raise DatasetError(
                    f"label column {self._column!r}, row {rows[position]}: {name!r} is not one of the "
                    f"{len(self._numbers)} class names{hint}"
                )
            numbers[position] = number
        return numbers
