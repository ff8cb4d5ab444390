"""The datasets inside scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import require_columns, take_rows
from pytest_mlscope.errors import CannotRun

BundledName = Literal["digits", "iris", "wine", "breast_cancer", "diabetes"]


# scikit-learn reads and parses its files anew at each call.
@cache
def _load(name: BundledName) -> tuple[dict[str, NDArray[Any]], tuple[str, ...] | None]:
    try:
        from sklearn import datasets
    except ImportError:
        raise CannotRun("needs scikit-learn", command="pip install 'pytest-mlscope[sklearn]'") from None
    bunch = getattr(datasets, f"load_{name}")()
    columns: dict[str, NDArray[Any]] = {"data": bunch.data, "target": bunch.target}
    if name == "digits":
        columns["images"] = bunch.images
    else:
        columns |= {feature: bunch.data[:, number] for number, feature in enumerate(bunch.feature_names)}
    for column in columns.values():
        column.flags.writeable = False  # cached: a caller must not change another's rows
    names = bunch.get("target_names")
    return columns, None if names is None else tuple(str(each) for each in names)


class _SklearnSource(DataSource):
    def __init__(self, name: BundledName) -> None:
        self._title = f"sklearn {name}"
        self._columns, self._class_names = _load(name)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._columns)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._class_names

    def __len__(self) -> int:
        return len(self._columns["data"])

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        require_columns(self._title, columns, self._columns)
        return {column: take_rows(self._columns[column], rows) for column in columns}


class Sklearn(Dataset):
    """A dataset inside scikit-learn, in its own order. Columns: ``data`` (float64, one row of features), ``target``,
    for ``digits`` ``images`` (float64, 8×8, values 0 to 16), for the others each feature by name."""

    name: ClassVar[str] = "sklearn"

    bundled: BundledName = Field(alias="name")
    """Which one."""

    def distributions(self) -> tuple[str, ...]:
        return ("scikit-learn",)

    def files(self, base: Path) -> Sequence[Path]:
        return ()

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        return _SklearnSource(self.bundled)
