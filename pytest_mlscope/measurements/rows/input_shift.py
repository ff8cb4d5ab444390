"""How far one pre-processing moves a model's inputs from another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import STATED
from pytest_mlscope.errors import PreprocessingError
from pytest_mlscope.manifest import LoadedManifest
from pytest_mlscope.measurements.accuracy.result import InputShift
from pytest_mlscope.measurements.rows.pipeline import Samples
from pytest_mlscope.measurements.rows.prepared_rows import RowPreparer

_ROWS_AT_A_TIME = 64


def input_shift(manifest: LoadedManifest, variant: str, *, limit: int | None = None) -> InputShift:
    """Mean and maximum of ``|variant - stated|`` over every element of every input of every selected row.

    Rows that either fails to pre-process are left out. Where a row's shape differs, nothing can be subtracted: the
    differences are NaN and ``shape_differs`` is set.

    :param limit: compare this many of the selected rows at most.
    :raises PreprocessingError: when no row could be pre-processed both ways, or an input is not the manifest's.
    :raises DatasetError: when the dataset cannot be read.
    """
    total, largest, elements = 0.0, 0.0, 0
    with (
        RowPreparer(manifest, preprocessing=STATED, with_labels=False) as stated,
        RowPreparer(manifest, preprocessing=variant, with_labels=False) as other,
    ):
        rows = stated.rows[:limit]
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            chunk = rows[start : start + _ROWS_AT_A_TIME]
            left, right = stated.read(chunk), other.read(chunk)
            # Either variant may fail on rows that the other manages.
            _, in_left, in_right = np.intersect1d(left.rows, right.rows, assume_unique=True, return_indices=True)
            for name in left.inputs:
                for a, b in _pairs(left.inputs[name], right.inputs[name], in_left, in_right):
                    if a.shape != b.shape:
                        return InputShift(float("nan"), float("nan"), shape_differs=True)
                    # As floats: unsigned integers would wrap around below 0.
                    difference = np.abs(b.astype(np.float64) - a.astype(np.float64))
                    if difference.size:
                        total += float(difference.sum())
                        largest = max(largest, float(difference.max()))
                        elements += difference.size
    if not elements:
        raise PreprocessingError(f"{manifest.path}: no row could be pre-processed both as stated and as {variant!r}")
    return InputShift(total / elements, largest)


def _pairs(
    left: Samples, right: Samples, in_left: NDArray[np.intp], in_right: NDArray[np.intp]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The same rows of both: all at once where each is one array, else row by row."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        yield left[in_left], right[in_right]
    else:
        for first, second in zip(in_left, in_right):
            yield np.asarray(left[first]), np.asarray(right[second])
