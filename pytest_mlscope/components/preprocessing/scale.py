"""Multiply and add."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.preprocessing.array_step import ArrayStep


class Scale(ArrayStep):
    """``x × factor + offset``, in the dtype of ``x``, which must be a floating-point one.

    >>> Scale(factor=2.0, offset=-1.0).apply_batch(np.array([[0.0, 0.5]])).tolist()
    [[-1.0, 0.0]]
    """

    name: ClassVar[str] = "scale"

    factor: float = Field(allow_inf_nan=False)
    """What every value is multiplied by, such as ``0.00392156862745098`` for 1/255."""
    offset: float = Field(default=0.0, allow_inf_nan=False)
    """What is added afterwards."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.dtype.kind != "f":
            raise self.error(f"needs a floating-point dtype, not {batch.dtype}; put a cast step first")
        scaled: NDArray[Any] = np.multiply(batch, batch.dtype.type(self.factor))
        if self.offset:
            scaled += batch.dtype.type(self.offset)
        return scaled
