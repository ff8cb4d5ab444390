"""A model's raw outputs over some rows, kept on disk once they are large."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import HostError
from pytest_mlscope.hosts.process import DEPTH
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.measurements.rows.inputs import BatchReader

_IN_MEMORY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 4 * 1024 * 1024


def chunk_rows(ready: ReadyModel) -> int:
    """Rows sent to the host at once: whole batches, a few megabytes together; the same for every framework."""
    row_bytes = 0
    for description in ready.plan.inputs:
        sizes = [size if isinstance(size, int) else 1 for size in description.shape[1:]]
        row_bytes += int(np.prod(sizes, dtype=np.int64)) * np.dtype(description.dtype).itemsize
    batch_size = ready.case.batch_size
    return batch_size * int(min(max(_CHUNK_BYTES // max(row_bytes * batch_size, 1), 1), 64))


class RawOutputs:
    """Chunks of outputs by the manifest's names, written once in row order and read any number of times."""

    def __init__(self) -> None:
        self._file = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))  # noqa: SIM115  # closed by close()
        self._chunks = 0
        self.described = ""

    def append(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Add a chunk. :raises OSError: when the disk is full."""
        self._file.seek(0, 2)
        np.save(self._file, np.array(list(outputs)))
        for array in outputs.values():
            np.save(self._file, array, allow_pickle=False)
        self._chunks += 1

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        self._file.seek(0)
        for _ in range(self._chunks):
            names = np.load(self._file, allow_pickle=False)
            yield {str(name): np.load(self._file, allow_pickle=False) for name in names}

    def close(self) -> None:
        """Free the memory or the file."""
        self._file.close()

    def __enter__(self) -> RawOutputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def predict_raw(ready: ReadyModel, *, rows: int, batch_rows: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
    """Raw outputs over the first rows of the dataset, chunk by chunk; valid until the next chunk.

    :param batch_rows: rows of a chunk, by default :func:`chunk_rows`.
    :raises HostError: when any batch fails: a comparison needs every row.
    """
    batch_rows = batch_rows or chunk_rows(ready)
    with BatchReader(
        ready.plan.manifest,
        preprocessing=ready.case.preprocessing,
        batch_rows=batch_rows,
        limit=rows,
        with_labels=False,
        one_by_one=ready.case.batch_size == 1,
        deadline=ready.deadline,
    ) as reader:
        under_way = 0
        for prepared in reader:
            if prepared.failed:
                raise HostError(f"{ready.host.name}: {prepared.failed[0].message}")
            if under_way == DEPTH:
                yield _received(ready)
                under_way -= 1
            ready.submit_predict(prepared.inputs)
            under_way += 1
        for _ in range(under_way):
            yield _received(ready)


def _received(ready: ReadyModel) -> dict[str, NDArray[Any]]:
    outputs, errors = ready.receive_predict()
    if errors:
        raise HostError(
            f"{ready.host.name}: predicting rows {errors[0].start} to {errors[0].stop - 1}: {errors[0].message}",
            output=ready.host.output(),
        )
    return outputs
