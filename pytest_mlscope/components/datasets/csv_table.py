"""A CSV file, read forward."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.files import FilePath, Sha256, dataset_file
from pytest_mlscope.components.datasets.grouping import ColumnGroups, Grouping
from pytest_mlscope.errors import DatasetError

_MOST_CHARACTERS = 2**26
# How tables write that there is no value.
_MISSING = frozenset({"", "-", "?", ".", "na", "n/a", "nan", "none", "null", "nil", "#n/a"})
NumberType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"
]


def _lines(stream: IO[str]) -> Iterator[str]:
    """Lines, none of which can take all memory: a file of zeros is one line without an end."""
    for line in iter(partial(stream.readline, _MOST_CHARACTERS), ""):
        if len(line) >= _MOST_CHARACTERS:
            raise csv.Error(f"a line has more than {_MOST_CHARACTERS:,} characters")
        yield line


@lru_cache(maxsize=64)
def _count(path: Path, delimiter: str, inode: int, size: int, mtime_ns: int) -> int:
    # Keyed by what changes when the file does: a suite opens the same dataset once a case.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return max(0, sum(1 for record in csv.reader(_lines(stream), delimiter=delimiter) if record) - 1)


class _CsvSource(DataSource):
    def __init__(self, path: Path, parameters: Csv) -> None:
        self._path = path
        self._parameters = parameters
        self._stream: IO[str] | None = None
        try:
            state = path.stat()
            self._rows = _count(path, parameters.delimiter, state.st_ino, state.st_size, state.st_mtime_ns)
            self.rewind()
        except (csv.Error, UnicodeDecodeError, OSError) as error:
            self.close()
            raise DatasetError(f"{path}: cannot be read as CSV: {error}") from None
        try:
            self._grouping = Grouping(str(path), self._header, parameters.columns)
            # Looked up for its error alone: a name that is no column would have no effect.
            for column in parameters.dtypes:
                self._grouping.parts(column)
        except BaseException:
            self.close()
            raise

    def rewind(self) -> None:
        self.close()
        # Spreadsheets begin a file with a byte order mark, which would be a part of the first column's name.
        self._stream = self._path.open(encoding="utf-8-sig", newline="")
        reader = csv.reader(_lines(self._stream), delimiter=self._parameters.delimiter)
        # The csv module gives an empty list for a blank line, such as the one many files end in.
        self._records = (record for record in reader if record)
        self._header = next(self._records, [])
        self._next = 0
        if not self._header:
            self.close()
            raise DatasetError(f"{self._path}: is empty; the first line names the columns")
        repeated = {name for name, times in Counter(self._header).items() if times > 1}
        if repeated:
            self.close()
            raise DatasetError(f"{self._path}: the first line names {min(repeated)!r} twice")

    @property
    def columns(self) -> tuple[str, ...]:
        return self._grouping.columns

    def __len__(self) -> int:
        return self._rows

    def as_numbers(self, column: str, dtype: str) -> str:
        return f"add `dtypes: {{{column}: {dtype}}}` to the dataset"

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        place = {name: position for position, name in enumerate(self._header)}
        positions = {column: [place[part] for part in self._grouping.parts(column)] for column in columns}
        records = list(self._read(rows))
        return {column: self._column(column, positions[column], records, rows) for column in columns}

    def _read(self, rows: NDArray[np.int64]) -> Iterator[list[str]]:
        for row in rows.tolist():
            if row < self._next:
                self.rewind()
            try:
                record = next(itertools.islice(self._records, row - self._next, None), None)
            except (csv.Error, UnicodeDecodeError, OSError) as error:
                raise DatasetError(f"{self._path}: row {row} cannot be read: {error}") from None
            self._next = row + 1
            if record is None or len(record) != len(self._header):
                count = "no" if record is None else len(record)
                raise DatasetError(f"{self._path}: row {row} has {count} fields, the first line {len(self._header)}")
            yield record

    def _column(self, column: str, positions: list[int], records: list[list[str]], rows: NDArray[np.int64]) -> Column:
        is_vector = self._grouping.is_vector(column)
        dtype = self._parameters.dtypes.get(column, "float64" if is_vector else None)
        if dtype is None:
            return [record[positions[0]] for record in records]
        values: list[Any] = [
            [record[position] for position in positions] if is_vector else record[positions[0]] for record in records
        ]
        try:
            return self._numbers(values, np.dtype(dtype))
        except (ValueError, OverflowError):
            raise self._not_a_number(dtype, positions, records, rows) from None

    def _numbers(self, text: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """:raises ValueError: for what is not a finite number and is not stated as missing."""
        fields = np.asarray(text)
        if dtype.kind == "f":
            missing = np.isin(fields, self._parameters.missing)
            # A missing field is any text; as a number it parses, and becomes NaN below.
            numbers: NDArray[Any] = np.where(missing, "0", fields).astype(np.float64)
            with np.errstate(over="ignore"):
                narrow = numbers.astype(dtype)
            # A damaged value must not pass for one: NaN would make a wrong prediction, or none, without a word.
            if not np.isfinite(narrow).all() or _has_underscore(fields):
                raise ValueError
            narrow[missing] = np.nan
            return narrow
        wide: NDArray[Any] = fields.astype(np.uint64 if dtype == np.uint64 else np.int64)
        limits = np.iinfo(dtype)
        fits = not wide.size or (limits.min <= wide.min() and wide.max() <= limits.max)
        if not fits or _has_underscore(fields):
            raise OverflowError
        return wide.astype(dtype)

    def _not_a_number(
        self, dtype: str, positions: list[int], records: list[list[str]], rows: NDArray[np.int64]
    ) -> DatasetError:
        for row, record in zip(rows, records):
            for position in positions:
                try:
                    self._numbers(record[position], np.dtype(dtype))
                except (ValueError, OverflowError):
                    text = record[position]
                    place = f"{self._path}: row {row}, column {self._header[position]!r}"
                    if np.dtype(dtype).kind != "f":
                        return DatasetError(f"{place}: {text!r:.80} is not a {dtype} number")
                    hint = f"; for a missing value, add `missing: [{json.dumps(text)}]` to the dataset"
                    blank = text.strip().casefold() in _MISSING
                    return DatasetError(f"{place}: {text!r:.80} is not a finite {dtype} number{hint if blank else ''}")
        return DatasetError(f"{self._path}: rows {rows[0]} to {rows[-1]} cannot be read as {dtype}")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def _has_underscore(fields: NDArray[Any]) -> bool:
    # Python reads 1_000 as a number; no other reader of CSV does.
    return bool((np.char.find(fields, "_") >= 0).any())


class Csv(Dataset):
    """A CSV file (RFC 4180, UTF-8) whose first line names its columns; read forward, never whole.

    Columns: the file's, as text unless ``dtypes`` says otherwise, and those under ``columns``.
    """

    name: ClassVar[str] = "csv"

    path: FilePath
    """The file, relative to the manifest."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What separates fields."""
    dtypes: dict[str, NumberType] = Field(default_factory=dict)
    """Column name to dtype, for columns of numbers; ``float64`` for those under ``columns``."""
    columns: ColumnGroups = Field(default_factory=dict)
    """Vector columns: name to the file's columns it is made of, in order."""
    missing: list[str] = Field(default_factory=list, max_length=64)
    """Fields that stand for a missing value: NaN in a floating-point column. Without them, only finite numbers are."""
    sha256: Sha256 | None = None
    """The file's sha256, verified before use."""

    def needed(self, base: Path) -> Sequence[Path]:
        return self.files(base)

    def files(self, base: Path) -> Sequence[Path]:
        return [base / self.path]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _CsvSource(dataset_file(self.path, base, sha256=self.sha256), self)
