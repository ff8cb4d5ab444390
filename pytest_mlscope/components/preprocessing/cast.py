"""Change the dtype."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.preprocessing.array_step import ArrayStep

DType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]


class Cast(ArrayStep):
    """Change the dtype. Fractions are cut off towards zero; a value the new dtype cannot hold is an error.

    >>> Cast(dtype="uint8").apply_batch(np.array([[1.9, 254.2]])).tolist()
    [[1, 254]]
    """

    name: ClassVar[str] = "cast"

    dtype: DType
    """The dtype to change to."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        target = np.dtype(self.dtype)
        if batch.dtype == target:
            return batch
        if target.kind in "iu" and not np.can_cast(batch.dtype, target, casting="safe") and batch.size:
            low, high = batch.min(), batch.max()
            limits = np.iinfo(target)
            # int(): exact comparison, where a float limit such as 2**63 - 1 would be rounded up.
            if not (np.isfinite(low) and np.isfinite(high) and limits.min <= int(low) and int(high) <= limits.max):
                raise self.error(f"values from {low} to {high} do not fit {self.dtype}")
        if target.kind == "f" and not np.can_cast(batch.dtype, target, casting="safe"):
            try:
                with np.errstate(over="raise"):
                    return batch.astype(target)
            except FloatingPointError:
                raise self.error(f"values up to {np.abs(batch).max()} do not fit {self.dtype}") from None
        return batch.astype(target)
