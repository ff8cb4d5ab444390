"""Columns in ``.npy`` files, of which rows are read by their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import require_columns
from pytest_mlscope.components.datasets.damage import check_shape, reading
from pytest_mlscope.components.datasets.files import FilePath, Sha256, dataset_file
from pytest_mlscope.components.datasets.npz_member import read_header
from pytest_mlscope.components.datasets.stored_array import StoredArray
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.ordinary_files import open_ordinary


def _stored(path: Path) -> StoredArray:
    with reading(str(path)), open_ordinary(path) as stream:
        if stream.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            # NumPy takes it for a pickle, and advises to load it as one, which could run any code.
            raise ValueError("it is not an .npy file")
        stream.seek(0)
        shape, fortran_order, dtype = read_header(stream)
        check_shape(shape, dtype.itemsize)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are not loaded; save numbers or text instead")
        offset = stream.tell()
    if not shape:
        raise DatasetError(f"{path}: is not one array with rows")
    return StoredArray(path, what=str(path), shape=shape, dtype=dtype, offset=offset, fortran_order=fortran_order)


class _NpySource(DataSource):
    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._title = ", ".join(path.name for path in paths.values())
        self._arrays: dict[str, StoredArray] = {}
        try:
            for column, path in paths.items():
                self._arrays[column] = _stored(path)
            # Rows are paired by their place, so columns of unlike lengths belong to different data.
            lengths = {column: array.shape[0] for column, array in self._arrays.items()}
            if len(set(lengths.values())) > 1:
                shown = ", ".join(f"{column} {length}" for column, length in lengths.items())
                raise DatasetError(f"{self._title}: columns differ in their number of rows: {shown}")
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._arrays)

    def __len__(self) -> int:
        return next(iter(self._arrays.values())).shape[0]

    def row_shape(self, column: str) -> tuple[int, ...] | None:
        return self._arrays[column].shape[1:]

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        require_columns(self._title, columns, self._arrays)
        return {column: self._arrays[column].take(rows) for column in columns}

    def close(self) -> None:
        for array in self._arrays.values():
            array.close()


class Npy(Dataset):
    """Columns in ``.npy`` files of equal length, read row by row. Pickled objects are refused."""

    name: ClassVar[str] = "npy"

    columns: dict[str, FilePath] = Field(min_length=1)
    """Column name to file, relative to the manifest."""
    sha256: dict[str, Sha256] = Field(default_factory=dict)
    """Column name to its file's sha256, verified before use."""

    @model_validator(mode="after")
    def _known(self) -> Npy:
        unknown = sorted(set(self.sha256) - set(self.columns))
        if unknown:
            raise ValueError(f"sha256 names {unknown[0]!r}, which is not a column")
        return self

    def needed(self, base: Path) -> Sequence[Path]:
        return self.files(base)

    def files(self, base: Path) -> Sequence[Path]:
        return [base / path for path in self.columns.values()]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _NpySource(
            {column: dataset_file(path, base, sha256=self.sha256.get(column)) for column, path in self.columns.items()}
        )
