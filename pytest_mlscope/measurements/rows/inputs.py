"""Batches of a manifest's dataset, pre-processed while the model predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import STATED
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.errors import PreprocessingError
from pytest_mlscope.manifest import LoadedManifest
from pytest_mlscope.measurements.accuracy.result import FailedRows
from pytest_mlscope.measurements.rows.deadline import out_of_time, within
from pytest_mlscope.measurements.rows.input_shift import input_shift
from pytest_mlscope.measurements.rows.manifest_errors import naming
from pytest_mlscope.measurements.rows.pipeline import Samples
from pytest_mlscope.measurements.rows.prefetch import Prefetcher
from pytest_mlscope.measurements.rows.prepared_rows import PreparedRows, RowPreparer
from pytest_mlscope.measurements.rows.row_selection import select_rows

__all__ = ["BatchReader", "PreparedBatch", "input_shift", "select_rows"]

# Many rows are prepared at a time, so that small samples do not pay for Python once a batch; but not so many that the
# first batch is late or memory is.
_CHUNK_SECONDS = 0.005
_CHUNK_BYTES = 4 * 2**20
_FIRST_ROWS = 16
# With so many rows and none good, it is the steps that are wrong, not the rows.
_HOPELESS_ROWS = 64


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Rows ready to be predicted."""

    rows: NDArray[np.int64]
    """Row numbers in the dataset, ascending, shape ``(n,)`` with ``0 <= n <= batch_rows``."""
    inputs: dict[str, NDArray[Any]]
    """Input name to C-contiguous array ``(n, …)`` of the manifest's dtype."""
    labels: dict[str, NDArray[Any]]
    """Label column to its values, shape ``(n, …)``; class numbers where there are class names. Empty when not read."""
    failed: list[FailedRows]
    """Rows hereabouts that could not be pre-processed, each reported with one batch."""


class BatchReader:
    """Iterates over a manifest's dataset in batches, prepared by a background thread.

    Batches have ``batch_rows`` rows, save the last one and those from which rows failed. A batch of no rows comes only
    last, and only to carry failures. Each iteration starts at the first row; leaving it early stops the thread.

    :param preprocessing: the variant, ``stated`` for the inputs' own steps.
    :param limit: read this many of the selected rows at most.
    :param whole_chunks: yield all rows that were prepared together as one, which holds any number of batches: the
        first ones few, then as many as take some milliseconds to prepare.
    :param one_by_one: whether the model predicts each row alone, so that rows need no common shape: a batch ends where
        the shape changes.
    :param prefetch: how many prepared chunks of rows may wait.
    :param deadline: by which the rows must be read; ``None`` for none.
    :raises DatasetError: when the dataset cannot be opened, lacks a column or selects no rows; while iterating, when a
        row cannot be read or a label is no class's.
    :raises PreprocessingError: while iterating, when the steps do not give what the manifest says the model takes, or
        not one row could be pre-processed.
    :raises CannotRun: when an optional library is missing.
    """

    def __init__(
        self,
        manifest: LoadedManifest,
        *,
        batch_rows: int,
        preprocessing: str = STATED,
        limit: int | None = None,
        with_labels: bool = True,
        whole_chunks: bool = False,
        one_by_one: bool = False,
        prefetch: int = 3,
        deadline: Deadline | None = None,
    ) -> None:
        if batch_rows < 1 or prefetch < 1:
            raise ValueError("batch_rows and prefetch are at least 1")
        self._batch_rows = batch_rows
        self._whole_chunks = whole_chunks
        self._one_by_one = one_by_one
        self._prefetch = prefetch
        self._manifest = manifest
        self._deadline = deadline
        self._preparer = within(
            deadline,
            str(manifest.path),
            lambda: RowPreparer(manifest, preprocessing=preprocessing, with_labels=with_labels),
        )
        self.rows: NDArray[np.int64] = self._preparer.rows[:limit]
        """The rows that will be read, failures included; ascending."""

    def __len__(self) -> int:
        """Rows that will be read."""
        return len(self.rows)

    def __iter__(self) -> Iterator[PreparedBatch]:
        prefetcher = Prefetcher(self._chunks(), depth=self._prefetch, name="mlscope-inputs", deadline=self._deadline)
        try:
            for chunk in prefetcher:
                yield from chunk
        except TimeoutError:
            raise out_of_time(str(self._manifest.path)) from None
        finally:
            prefetcher.close()

    def _chunks(self) -> Iterator[list[PreparedBatch]]:
        # A source that is read in order starts over with each iteration.
        self._preparer.source.rewind()
        position, good = 0, 0
        batches = max(1, _FIRST_ROWS // self._batch_rows) if self._whole_chunks else 1
        failed: list[FailedRows] = []
        while position < len(self.rows):
            rows = self.rows[position : position + batches * self._batch_rows]
            started = perf_counter()
            prepared = self._preparer.read(rows)
            position += len(rows)
            good += len(prepared.rows)
            failed += prepared.failed
            if not good and (position >= _HOPELESS_ROWS or position == len(self.rows)):
                raise PreprocessingError(
                    f"{self._manifest.path}: none of the first {position} rows could be pre-processed; "
                    f"row {failed[0].rows[0]}: {failed[0].message}"
                )
            if len(prepared.rows):
                with naming(self._manifest):
                    chunk = self._split(prepared, failed)
                failed = []
                size = sum(array.nbytes for batch in chunk for array in batch.inputs.values())
                # Half of each limit, so that a doubled chunk still stays within both.
                if perf_counter() - started < _CHUNK_SECONDS / 2 and size < _CHUNK_BYTES / 2:
                    batches *= 2
                yield chunk
        if failed:
            nothing: dict[str, NDArray[Any]] = {}
            yield [PreparedBatch(self.rows[:0], nothing, nothing, failed)]

    def _split(self, prepared: PreparedRows, failed: list[FailedRows]) -> list[PreparedBatch]:
        batches = []
        for part in self._parts(prepared):
            inputs = {name: as_batch(name, samples[part]) for name, samples in prepared.inputs.items()}
            labels = {column: values[part] for column, values in prepared.labels.items()}
            batches.append(PreparedBatch(prepared.rows[part], inputs, labels, failed))
            failed = []
        return batches

    def _parts(self, prepared: PreparedRows) -> Iterator[slice]:
        rows = len(prepared.rows)
        step = rows if self._whole_chunks else self._batch_rows
        ragged = [samples for samples in prepared.inputs.values() if not isinstance(samples, np.ndarray)]
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            if self._one_by_one and ragged:
                # Neighbours of one shape still travel together.
                shapes = [tuple(np.shape(samples[row]) for samples in ragged) for row in range(start, stop)]
                for place in range(1, len(shapes)):
                    if shapes[place] != shapes[place - 1]:
                        yield slice(start, stop - len(shapes) + place)
                        start = stop - len(shapes) + place
            yield slice(start, stop)

    def close(self) -> None:
        """Release the dataset's files."""
        self._preparer.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def as_batch(name: str, samples: Samples) -> NDArray[Any]:
    """Samples of an input as one array. :raises PreprocessingError: when their shapes differ."""
    if isinstance(samples, np.ndarray):
        return samples
    shapes = sorted({np.shape(sample) for sample in samples})
    if len(shapes) > 1:
        raise PreprocessingError(
            f"input {name!r}: samples of shapes {shapes[0]} and {shapes[1]} cannot be one batch; use batch_size 1, or "
            "add steps that give them one shape"
        )
    return np.stack(samples)
