"""A Parquet file, read one row group at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import take_rows
from pytest_mlscope.components.datasets.damage import reading
from pytest_mlscope.components.datasets.files import FilePath, Sha256, dataset_file
from pytest_mlscope.components.datasets.grouping import ColumnGroups, Grouping
from pytest_mlscope.errors import CannotRun, DatasetError


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise CannotRun("needs pyarrow", command="pip install 'pytest-mlscope[parquet]'") from None
    return pyarrow, pyarrow.parquet


class _ParquetSource(DataSource):
    def __init__(self, path: Path, groups: Mapping[str, list[str]]) -> None:
        self._arrow, parquet = _pyarrow()
        self._path = path
        self._group = -1
        self._loaded: dict[str, Column] = {}
        with reading(str(path)):
            self._file = parquet.ParquetFile(path)
        try:
            with reading(str(path)):
                metadata = self._file.metadata
                # From the metadata: counting rows would read the file.
                sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
                self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
                self._grouping = Grouping(str(path), _leaves(self._file.schema_arrow, self._arrow), groups)
            # Both numbers come from the file; where they differ, rows would be missing without a word.
            if metadata.num_rows != self._starts[-1]:
                raise DatasetError(f"{path}: says it has {metadata.num_rows} rows, its row groups {self._starts[-1]}")
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        return self._grouping.columns

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        pieces: dict[str, list[Column]] = {column: [] for column in columns}
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        # Group by group: only one is in memory at a time.
        for group in np.unique(groups):
            inside = rows[groups == group] - self._starts[group]
            for column in columns:
                values = self._column(int(group), column)
                pieces[column].append(
                    take_rows(values, inside) if isinstance(values, np.ndarray) else [values[row] for row in inside]
                )
        return {column: _joined(pieces[column]) for column in columns}

    def _column(self, group: int, column: str) -> Column:
        if group != self._group:
            self._loaded = {}
            self._group = group
        if column not in self._loaded:
            self._loaded[column] = self._load(group, column)
        return self._loaded[column]

    def _load(self, group: int, column: str) -> Column:
        parts = self._grouping.parts(column)
        rows = f"rows {self._starts[group]} to {self._starts[group + 1] - 1}"
        with reading(f"{self._path}: {rows}, column {column!r}"):
            # A vector may name a column twice; the file gives it once.
            table = self._file.read_row_group(group, columns=list(dict.fromkeys(parts)))
            # flatten() opens one level of structs at a time.
            while any(self._arrow.types.is_struct(field.type) for field in table.schema):
                table = table.flatten()
            values = [self._values(table.column(part), part, group) for part in parts]
            # The file's summary and its data are written apart, and a damaged file may have them differ.
            if any(len(value) != self._starts[group + 1] - self._starts[group] for value in values):
                raise DatasetError(f"{self._path}: {rows}, column {column!r}: has another number of values")
        if not self._grouping.is_vector(column):
            return values[0]
        if any(not isinstance(value, np.ndarray) or value.ndim != 1 for value in values):
            raise DatasetError(f"{self._path}: column {column!r} groups columns that are not single numbers")
        return np.stack(values, axis=1)

    def _values(self, chunked: Any, name: str, group: int) -> Column:
        types = self._arrow.types
        array = chunked.combine_chunks()
        if isinstance(array, self._arrow.ChunkedArray):  # what combine_chunks gives for no chunks, or for too many
            array = self._arrow.concat_arrays(array.chunks)
        if array.null_count:
            row = int(self._starts[group]) + array.is_null().index(True).as_py()
            raise DatasetError(f"{self._path}: row {row} has no value in column {name!r}")
        if types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind = array.type
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
            numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
            return numbers
        if _is_list(kind, types):
            return self._nested(array, name, int(self._starts[group]))
        values: list[Any] = array.to_pylist()
        return values

    def _nested(self, array: Any, name: str, first_row: int) -> Column:
        """Lists as one array where all have one shape, else one array a row, of the file's dtype either way."""
        types = self._arrow.types
        missing = _row_with_missing(array, types)
        if missing is not None:
            raise DatasetError(f"{self._path}: row {first_row + missing} has a missing value in column {name!r}")
        stacked = _stacked(array, types)
        if stacked is not None:
            return stacked
        samples = []
        for row in range(len(array)):
            sample = _stacked(array.slice(row, 1), types)
            if sample is None:
                raise DatasetError(
                    f"{self._path}: row {first_row + row} has lists of different lengths in column {name!r}"
                )
            samples.append(sample[0])
        return samples

    def close(self) -> None:
        self._loaded = {}
        self._file.close()


def _leaves(schema: Any, arrow: Any) -> list[str]:
    """Column names; the fields of a struct as ``column.field``."""
    names = []
    pending = [(field.name, field.type) for field in schema]
    while pending:
        name, kind = pending.pop(0)
        if arrow.types.is_struct(kind):
            pending = [(f"{name}.{field.name}", field.type) for field in kind] + pending
        else:
            names.append(name)
    return names


def _is_list(kind: Any, types: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _row_with_missing(array: Any, types: Any) -> int | None:
    """The first row with a null anywhere in its lists."""
    rows = np.arange(len(array))
    while _is_list(array.type, types):
        rows = np.repeat(rows, array.value_lengths().to_numpy(zero_copy_only=False))
        array = array.flatten()
        if array.null_count:
            return int(rows[array.is_null().index(True).as_py()])
    return None


def _stacked(array: Any, types: Any) -> NDArray[Any] | None:
    """Lists without nulls as one array, shape ``(rows, …)``; ``None`` where their lengths differ."""
    shape = [len(array)]
    while _is_list(array.type, types):
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False)) if len(array) else np.array([0])
        if len(lengths) != 1:
            return None
        shape.append(int(lengths[0]))
        array = array.flatten()
    stacked: NDArray[Any] = array.to_numpy(zero_copy_only=False).reshape(shape)
    return stacked


def _joined(pieces: list[Column]) -> Column:
    if len(pieces) == 1:
        return pieces[0]
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if pieces and len(arrays) == len(pieces) and len({(array.shape[1:], array.dtype) for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [item for piece in pieces for item in piece]


class Parquet(Dataset):
    """A Parquet file; one row group at a time is in memory, of the columns asked for.

    Columns: the file's, fields of structs as ``column.field``, and those under ``columns``. Lists become arrays.
    """

    name: ClassVar[str] = "parquet"

    path: FilePath
    """The file, relative to the manifest."""
    columns: ColumnGroups = Field(default_factory=dict)
    """Vector columns: name to the file's columns it is made of, in order."""
    sha256: Sha256 | None = None
    """The file's sha256, verified before use."""

    def needed(self, base: Path) -> Sequence[Path]:
        return self.files(base)

    def files(self, base: Path) -> Sequence[Path]:
        return [base / self.path]

    def distributions(self) -> tuple[str, ...]:
        return ("pyarrow",)

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _ParquetSource(dataset_file(self.path, base, sha256=self.sha256), self.columns)
