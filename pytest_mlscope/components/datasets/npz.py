"""Arrays in a ``.npz`` archive, read as they are needed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import require_columns
from pytest_mlscope.components.datasets.damage import reading
from pytest_mlscope.components.datasets.files import FilePath, Sha256, dataset_file
from pytest_mlscope.components.datasets.npz_member import NpzMember
from pytest_mlscope.errors import DatasetError


class _NpzSource(DataSource):
    def __init__(self, path: Path, columns: Mapping[str, str] | None) -> None:
        self._path = path
        self._members: dict[str, NpzMember] = {}
        with reading(str(path)):
            self._archive = zipfile.ZipFile(path)
        try:
            # np.savez keeps the array x as the member x.npy; an archive may hold other files too.
            available = [name.removesuffix(".npy") for name in self._archive.namelist() if name.endswith(".npy")]
            if columns is None:
                columns = {name: name for name in available}
            require_columns(str(path), columns.values(), available)
            for column, name in columns.items():
                self._members[column] = NpzMember(self._archive, path, name)
            self._check_lengths()
        except BaseException:
            self.close()
            raise

    def _check_lengths(self) -> None:
        if not self._members:
            raise DatasetError(f"{self._path}: holds no arrays")
        lengths = {column: member.shape[0] if member.shape else None for column, member in self._members.items()}
        if len(set(lengths.values())) > 1 or None in lengths.values():
            shown = ", ".join(f"{column} {list(member.shape)}" for column, member in self._members.items())
            raise DatasetError(
                f"{self._path}: arrays differ in their number of rows: {shown}; name those that belong together under "
                "`columns`, as in {image: x_test, label: y_test}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._members)

    def __len__(self) -> int:
        return next(iter(self._members.values())).shape[0]

    def row_shape(self, column: str) -> tuple[int, ...] | None:
        return self._members[column].shape[1:]

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        require_columns(str(self._path), columns, self._members)
        return {column: self._members[column].take(rows) for column in columns}

    def rewind(self) -> None:
        for member in self._members.values():
            member.rewind()

    def close(self) -> None:
        for member in self._members.values():
            member.close()
        self._archive.close()


class Npz(Dataset):
    """The arrays of a ``.npz`` archive, one row an index of their first dimension. Columns: the arrays by name.

    Rows of uncompressed arrays are read by their place, compressed ones forward. Pickled objects are refused.
    """

    name: ClassVar[str] = "npz"

    path: FilePath
    """The archive, relative to the manifest."""
    columns: dict[str, str] | None = Field(default=None, min_length=1)
    """Column name to array name, where only some of the arrays belong together, or to rename them."""
    sha256: Sha256 | None = None
    """The archive's sha256, verified before use."""

    def needed(self, base: Path) -> Sequence[Path]:
        return self.files(base)

    def files(self, base: Path) -> Sequence[Path]:
        return [base / self.path]

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _NpzSource(dataset_file(self.path, base, sha256=self.sha256), self.columns)
