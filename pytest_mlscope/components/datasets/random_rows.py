"""Seeded random inputs, for speed and agreement where accuracy has no meaning."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_mlscope.components.datasets.base import Column, Dataset, DataSource, InputDescription
from pytest_mlscope.components.datasets.columns import require_columns
from pytest_mlscope.errors import DatasetError

# Rows are drawn in blocks of about so many numbers: a generator a row would cost more than small rows do.
_BLOCK_ELEMENTS = 2**16


class _RandomColumn:
    """Row ``i`` depends on seed, input name, shape and dtype only, never on which rows are read together."""

    def __init__(self, parameters: Random, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._parameters = parameters
        # Not hash(), which is another in every process.
        self._stream = zlib.crc32(name.encode())
        self._dtype = dtype
        self.shape = shape
        self._block_rows = max(1, _BLOCK_ELEMENTS // max(1, prod(shape)))
        self._cached: tuple[int, NDArray[Any]] = (-1, np.empty(0))

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        taken = np.empty((len(rows), *self.shape), self._dtype)
        numbers = rows // self._block_rows
        # Block by block: rows are ascending, so that each block is drawn once.
        for number in np.unique(numbers):
            inside = numbers == number
            taken[inside] = self._block(int(number))[rows[inside] - number * self._block_rows]
        return taken

    def _block(self, number: int) -> NDArray[Any]:
        if self._cached[0] != number:
            generator = np.random.Generator(np.random.PCG64([self._parameters.seed, self._stream, number]))
            self._cached = number, self._draw(generator, (self._block_rows, *self.shape))
        return self._cached[1]

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        low, high = self._parameters.low, self._parameters.high
        if self._parameters.distribution == "integers":
            return generator.integers(int(low), int(high), shape).astype(self._dtype)
        # numpy draws no float16; those are rounded from float32.
        computed: Any = np.float64 if self._dtype == np.float64 else np.float32
        if self._parameters.distribution == "normal":
            drawn = generator.standard_normal(shape, dtype=computed)
        else:
            drawn = generator.random(shape, dtype=computed) * computed(high - low) + computed(low)
        return drawn.astype(self._dtype, copy=False)


class _RandomSource(DataSource):
    def __init__(self, count: int, columns: dict[str, _RandomColumn]) -> None:
        self._count = count
        self._columns = columns

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._columns)

    def __len__(self) -> int:
        return self._count

    def row_shape(self, column: str) -> tuple[int, ...] | None:
        return self._columns[column].shape

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> Mapping[str, Column]:
        require_columns("random", columns, self._columns)
        return {column: self._columns[column].take(rows) for column in columns}


class Random(Dataset):
    """Random arrays with the dtype and shape of the model's inputs, from NumPy's PCG64. Columns: the inputs by name.

    A row's values depend on the seed and the row, not on the batch it is read in.
    """

    name: ClassVar[str] = "random"

    count: int = Field(gt=0, le=2**40)
    """How many rows there are."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Another seed gives other values."""
    distribution: Literal["normal", "uniform", "integers"] = "normal"
    """``normal`` has mean 0 and standard deviation 1; ``uniform`` and ``integers`` lie in ``low <= x < high``."""
    low: float = Field(default=0.0, allow_inf_nan=False)
    """Lower bound, inclusive, of ``uniform`` and ``integers``."""
    high: float = Field(default=1.0, allow_inf_nan=False)
    """Upper bound, exclusive, of ``uniform`` and ``integers``."""
    shapes: dict[str, list[int]] = Field(default_factory=dict)
    """Input name to a sample's sizes, for inputs with dynamic dimensions besides the batch."""

    @model_validator(mode="after")
    def _bounds(self) -> Random:
        if self.distribution == "normal":
            if {"low", "high"} & self.model_fields_set:
                raise ValueError("low and high have no meaning for distribution normal")
        elif not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        elif self.distribution == "integers":
            if not (self.low.is_integer() and self.high.is_integer()):
                raise ValueError("low and high must be whole numbers for distribution integers")
            # Beyond these a float, as YAML's numbers are read here, is not exact any more.
            if not (self.low >= -(2**53) and self.high <= 2**53):
                raise ValueError("low and high must lie within ±2**53 for distribution integers")
        return self

    def files(self, base: Path) -> Sequence[Path]:
        return ()

    def open(self, base: Path, inputs: Sequence[InputDescription]) -> DataSource:
        unknown = sorted(set(self.shapes) - {each.name for each in inputs})
        if unknown:
            raise DatasetError(f"dataset random: shapes names {unknown[0]!r}, which is not an input")
        return _RandomSource(self.count, {each.name: self._column(each) for each in inputs})

    def _column(self, declared: InputDescription) -> _RandomColumn:
        shape = tuple(self.shapes.get(declared.name, declared.shape))
        fits = len(shape) == len(declared.shape) and all(
            wanted in (None, given) for wanted, given in zip(declared.shape, shape)
        )
        sizes = [size for size in shape if size is not None]
        if len(sizes) < len(shape):
            raise DatasetError(
                f"dataset random: input {declared.name!r} has dynamic dimensions; give a sample's sizes under `shapes`"
            )
        if not fits or any(size < 0 for size in sizes):
            raise DatasetError(f"dataset random: shape {list(shape)} does not fit input {declared.name!r}")
        dtype = np.dtype(declared.dtype)
        if self.distribution != "integers" and dtype.kind != "f":
            raise DatasetError(
                f"dataset random: input {declared.name!r} is {declared.dtype}; use distribution: integers"
            )
        if self.distribution == "integers":
            limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            # low is below high already, and high itself is not drawn.
            if dtype.kind != "f" and not (limits[0] <= self.low and self.high - 1 <= limits[1]):
                raise DatasetError(
                    f"dataset random: values from {self.low:g} to {self.high - 1:g} do not fit input "
                    f"{declared.name!r} of dtype {declared.dtype}"
                )
        return _RandomColumn(self, declared.name, dtype, tuple(sizes))
