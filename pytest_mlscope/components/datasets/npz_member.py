"""One array of a ``.npz`` archive, without loading it whole."""

from __future__ import annotations

import struct
import zipfile
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.datasets.columns import runs, take_rows
from pytest_mlscope.components.datasets.damage import check_shape, reading
from pytest_mlscope.components.datasets.stored_array import StoredArray
from pytest_mlscope.errors import DatasetError
from pytest_mlscope.ordinary_files import open_ordinary

# A zip member's local header: 30 fixed bytes, of which the last four give the lengths of the name and the extra field
# (APPNOTE.TXT 4.3.7). The central directory's extra field may have another length.
_LOCAL_HEADER_SIZE = 30
# Decompressed and thrown away in pieces, so that a skip takes little memory.
_SKIP_BYTES = 2**20


class NpzMember:
    """An array in an archive: read by place where it is stored plainly, else decompressed forward, row after row.

    :raises DatasetError: when it is not an array in NumPy's format or holds Python objects.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path, name: str) -> None:
        self._archive = archive
        self._path = path
        self._name = name
        self._what = f"{path}: array {name!r}"
        self._info = archive.getinfo(f"{name}.npy")
        self._stream: IO[bytes] | None = None
        self._position = 0
        self._array: NDArray[Any] | None = None
        self._stored: StoredArray | None = None
        with self._reading(), archive.open(self._info) as stream:
            self.shape, fortran_order, self.dtype = read_header(stream)
            self._data_offset = stream.tell()
            check_shape(self.shape, self.dtype.itemsize)
        if self.dtype.hasobject:
            raise DatasetError(f"{path}: array {name!r} holds Python objects, which are not loaded")
        self._row_bytes = self.dtype.itemsize * prod(self.shape[1:])
        # Before any row is read: the header may say more than the archive holds, or than there is memory.
        if self._info.file_size - self._data_offset < self._row_bytes * (self.shape[0] if self.shape else 1):
            raise DatasetError(f"{path}: array {name!r} is cut short")
        # Bit 0 says that the member is encrypted.
        if self._info.compress_type == zipfile.ZIP_STORED and self._info.flag_bits & 0x1 == 0 and 0 not in self.shape:
            with self._reading():
                offset = self._offset_in_file()
            self._stored = StoredArray(
                path,
                what=self._what,
                shape=self.shape,
                dtype=self.dtype,
                offset=offset,
                fortran_order=fortran_order,
            )
        elif fortran_order and len(self.shape) > 1:
            # Columns come one after the other: the first row is complete only at the end.
            with self._reading(), archive.open(self._info) as stream:
                self._array = np.lib.format.read_array(stream, allow_pickle=False)

    def _offset_in_file(self) -> int:
        with open_ordinary(self._path) as stream:
            stream.seek(self._info.header_offset)
            name_length, extra_length = struct.unpack("<26xHH", stream.read(_LOCAL_HEADER_SIZE))
        offset: int = self._info.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length + self._data_offset
        return offset

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Ascending rows; see :meth:`DataSource.take`."""
        if self._stored is not None:
            return self._stored.take(rows)
        if self._array is not None:
            return take_rows(self._array, rows)
        if not len(rows):
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, last = int(rows[0]), int(rows[-1])
        if first < self._position:
            self.rewind()
        if last - first + 1 == len(rows):
            return self._read(first, len(rows))
        return np.concatenate([self._read(int(run[0]), len(run)) for run in runs(rows)])

    def _read(self, first: int, count: int) -> NDArray[Any]:
        with self._reading():
            if self._stream is None:
                self._stream = self._archive.open(self._info)
                self._skip(self._data_offset)
            self._skip((first - self._position) * self._row_bytes)
            data = self._stream.read(count * self._row_bytes)
        self._position = first + count
        if len(data) != count * self._row_bytes:
            raise DatasetError(f"{self._path}: array {self._name!r} ends within rows {first} to {first + count - 1}")
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def _skip(self, count: int) -> None:
        while count > 0 and self._stream is not None:
            skipped = len(self._stream.read(min(count, _SKIP_BYTES)))
            if not skipped:
                return
            count -= skipped

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self._what)

    def close(self) -> None:
        """Close what is open."""
        self.rewind()
        if self._stored is not None:
            self._stored.close()

    def rewind(self) -> None:
        """Begin anew with the first row."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._position = 0


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and dtype of an array in NumPy's format."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version in ((2, 0), (3, 0)):  # 3.0 differs by utf-8 field names only, which the 2.0 reader takes as latin-1
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version[0]}.{version[1]} of NumPy's format is not known")
