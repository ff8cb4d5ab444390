"""Which rows of a dataset an evaluation reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import DatasetError
from pytest_mlscope.manifest import RowSample

MOST_ROWS = 2**28
"""Of one evaluation; their numbers alone are 2 GiB then."""


def select_rows(total: int, rows: str | None, sample: RowSample | None) -> NDArray[np.int64]:
    """Row numbers, ascending, int64, shape ``(n,)``.

    >>> select_rows(10, "2:5", None).tolist()
    [2, 3, 4]

    :param total: rows the dataset has.
    :param rows: ``first:past_last``, either of which may be left out; no negative numbers and no step.
    :param sample: a subset drawn without replacement from ``rows`` by PCG64 with the given seed.
    :raises DatasetError: when nothing is left, or the sample is larger than what it is drawn from.
    """
    if total <= 0:
        raise DatasetError("the dataset has no rows")
    first, last = 0, total
    if rows is not None:
        start, _, stop = rows.partition(":")
        first = int(start) if start else 0
        last = min(int(stop), total) if stop else total
    if first >= last:
        raise DatasetError(f"rows {rows} select nothing: the dataset has {total} rows, 0 to {total - 1}")
    chosen = last - first if sample is None else sample.size
    if chosen > MOST_ROWS:
        raise DatasetError(f"{chosen:,} rows are selected; allowed: at most {MOST_ROWS:,}; select some with `rows`")
    if sample is None:
        return np.arange(first, last, dtype=np.int64)
    if sample.size > last - first:
        raise DatasetError(f"a sample of {sample.size} rows cannot be drawn from {last - first} rows")
    # No shuffle: the numbers are sorted anyway, and it would cost a pass over them.
    drawn = np.random.default_rng(sample.seed).choice(last - first, size=sample.size, replace=False, shuffle=False)
    return np.sort(drawn.astype(np.int64)) + first
