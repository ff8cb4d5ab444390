"""What a dataset is: something a manifest names, which opens as a source of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.parameters import Component

_LONGEST_PATH = 4096

Column = NDArray[Any] | Sequence[Any]
"""Values of some rows: an array with a leading row dimension, or one object (bytes, str, array) per row."""


class DataSource(ABC):
    """An opened dataset. Rows are read in ascending order and never all at once."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names by which a manifest's ``inputs`` and ``label`` refer to columns."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, in index order, where the source knows them (folder names, target names).

        They count where the manifest states none; where all of them are whole numbers they are class numbers.
        """
        return None

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    def row_shape(self, column: str) -> tuple[int, ...] | None:
        """Sizes of a row of a column, where they are known before one is read; rows that cannot fit are never read."""
        return None

    def as_numbers(self, column: str, dtype: str) -> str:
        """What to do where a column holds numbers as text: the end of an error message."""
        return f"store the column {column!r} as {dtype}"

    @abstractmethod
    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        """Read the given rows of the given columns.

        :param rows: ascending row numbers; from call to call they only go up, until :meth:`rewind`.
        :raises DatasetError: when a row cannot be read; the message names the file and the row.
        """

    def rewind(self) -> None:  # noqa: B027  # most sources have nothing to do
        """Start again from the first row; sources that read forward only override this."""

    def close(self) -> None:  # noqa: B027  # likewise
        """Release files."""


class Dataset(Component):
    """A kind of dataset: ``dataset: {source: NAME, …fields}`` in a manifest."""

    @abstractmethod
    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        """Open it.

        :param base: the manifest's folder, against which relative paths are meant.
        :param inputs: the model's declared inputs, for datasets that generate data.
        :raises DatasetError: when a file is missing or malformed.
        :raises CannotRun: when an optional library is missing.
        """

    def needed(self, base: Path) -> Sequence[Path]:
        """Files and folders that must exist, which collection looks for; none by default.

        :param base: as of :meth:`open`.
        """
        return ()

    def files(self, base: Path) -> Sequence[Path]:
        """The files whose bytes decide what the rows are: an evaluation's key and the gate go by them.

        Without an override, the files that parameters name, and those in the folders that they name. A dataset without
        files is known by its parameters and its code.

        :param base: as of :meth:`open`.
        """
        found: list[Path] = []
        for text in _texts(self.model_dump()):
            path = base / text
            try:
                if path.is_file():
                    found.append(path)
                # "." or "..", a separator say, is no folder of data.
                elif path.is_dir() and not base.resolve().is_relative_to(path.resolve()):
                    found += sorted(below for below in path.rglob("*") if below.is_file())
            # A text that is no path at all, such as one with a NUL character.
            except (OSError, ValueError):
                continue
        return found


def _texts(value: object) -> Iterator[str]:
    """All texts in parameters that may be paths."""
    if isinstance(value, str | Path):
        # Longer text is no path, and the system would only say so.
        if 0 < len(str(value)) <= _LONGEST_PATH:
            yield str(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


class InputDescription:
    """Name, dtype and per-sample shape (named dynamic dimensions as ``None``) of one model input."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str, dtype: str, shape: tuple[int | None, ...]) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
