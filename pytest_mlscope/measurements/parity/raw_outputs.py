"""A model's raw outputs over some rows, kept on disk once they are large."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import HostError
from pytest_mlscope.hosts import DEPTH, ReadyModel
from pytest_mlscope.measurements.rows.inputs import BatchReader

_IN_MEMORY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 4 * 1024 * 1024


def chunk_rows(ready: ReadyModel) -> int:
    """Rows sent to the host at once: whole batches, a few megabytes together; the same for every framework."""
    row_bytes = 0
    for description in ready.plan.inputs:
        sizes = [size if isinstance(size, int) else 1 for size in description.row_sizes()]
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
        # Whoever reads the chunks moves the place.
        self._file.seek(0, 2)
        # An array of text, not JSON: the names come back by the same reader, and are never unpickled.
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
        under_way: deque[int] = deque()
        for prepared in reader:
            # Unlike accuracy, which counts them: without this row the two sides would compare unlike rows.
            if prepared.failed:
                raise HostError(f"{ready.host.name}: {prepared.failed[0].message}")
            if len(under_way) == DEPTH:
                yield from _received(ready, under_way.popleft())
            ready.submit_predict(prepared.inputs)
            under_way.append(len(prepared.rows))
        for rows in under_way:
            yield from _received(ready, rows)


def _received(ready: ReadyModel, rows: int) -> Iterator[dict[str, NDArray[Any]]]:
    prediction = ready.receive_predict(rows)
    if prediction.errors:
        first = prediction.errors[0]
        raise HostError(
            f"{ready.host.name}: predicting rows {first.start} to {first.stop - 1}: {first.message}",
            output=ready.host.output(),
        )
    for part in prediction.parts:
        yield dict(part.outputs)


Chunk = Mapping[str, NDArray[Any]]


def in_step(ours: Iterable[Chunk], theirs: Iterable[Chunk]) -> Iterator[tuple[Chunk | None, Chunk | None]]:
    """Chunks of two models with as many rows each, however they were cut; ``None`` for one that has no more.

    Outputs whose shapes change from row to row come in chunks of one shape, and two models need not agree on it.
    """
    streams = [iter(ours), iter(theirs)]
    held: list[Chunk | None] = [None, None]
    while True:
        for side, stream in enumerate(streams):
            if held[side] is None:
                held[side] = next(stream, None)
        one, other = held
        if one is None or other is None:
            if one is None and other is None:
                return
            yield one, other
            held = [None, None]
            continue
        rows = min(_rows(one), _rows(other))
        yield _cut(one, 0, rows), _cut(other, 0, rows)
        held = [None if _rows(chunk) == rows else _cut(chunk, rows, None) for chunk in (one, other)]


def _rows(chunk: Chunk) -> int:
    return len(next(iter(chunk.values())))


def _cut(chunk: Chunk, start: int, stop: int | None) -> Chunk:
    return {name: array[start:stop] for name, array in chunk.items()}
