"""An array that lies in a file as it is, of which rows are read by their place.

It is not mapped: what another program cuts off a mapped file is a SIGBUS, which would end pytest without a report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.datasets.columns import runs
from pytest_mlscope.components.datasets.damage import reading
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.ordinary_files import open_ordinary


class StoredArray:
    """Rows on disk; in memory are only those that are asked for.

    :param what: the file, and the array in it, for errors.
    :param offset: where in the file the first element begins, in bytes.
    :param fortran_order: whether the first dimension varies fastest.
    :raises DatasetError: when the file cannot be opened or is shorter than the array.
    """

    def __init__(
        self,
        path: Path,
        *,
        what: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int,
        fortran_order: bool,
    ) -> None:
        self.shape = shape
        self._what = what
        self._dtype = dtype
        self._offset = offset
        self._columns_first = fortran_order and len(shape) > 1
        size = dtype.itemsize * prod(shape)
        with reading(what):
            self._file = open_ordinary(path)
            there = os.fstat(self._file.fileno()).st_size - offset
        # Looked at now: reading would find it out only at the rows that are missing, hours later perhaps.
        if there < size:
            self._file.close()
            raise DatasetError(f"{what} is cut short: its header says {size:,} bytes, and {max(there, 0):,} follow")

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The given ascending rows, read-only.

        :raises DatasetError: when they are no longer there.
        """
        wanted = (len(rows), *self.shape[1:])
        # There is nothing to read, and np.frombuffer refuses items without a size.
        if 0 in wanted or not self._dtype.itemsize:
            return np.empty(wanted, self._dtype)
        if self._columns_first:
            return self._by_column(rows)
        width = self._dtype.itemsize * prod(self.shape[1:])
        chunks = [chunk for run in runs(rows) for chunk in self._read(int(run[0]) * width, len(run) * width)]
        return np.frombuffer(b"".join(chunks) if len(chunks) > 1 else chunks[0], self._dtype).reshape(wanted)

    def _by_column(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        first, last = int(rows[0]), int(rows[-1])
        rest, unit = self.shape[1:], self._dtype.itemsize
        columns = np.empty((prod(rest), len(rows)), self._dtype)
        for column in range(len(columns)):
            chunks = self._read((column * self.shape[0] + first) * unit, (last - first + 1) * unit)
            # A column at a time: its rows are neighbours in the file, the columns of a row are not.
            columns[column] = np.frombuffer(b"".join(chunks), self._dtype)[rows - first]
        return columns.reshape(*reversed(rest), len(rows)).transpose()

    def _read(self, place: int, size: int) -> Iterator[bytes]:
        """Bytes from a place after the header, in pieces: the system reads 2 GiB at once at the most."""
        place += self._offset
        while size:
            with reading(self._what):
                chunk = os.pread(self._file.fileno(), size, place)
            if not chunk:
                raise DatasetError(f"{self._what} was cut short by another program while it was read")
            yield chunk
            place, size = place + len(chunk), size - len(chunk)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
