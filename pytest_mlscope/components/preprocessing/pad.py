"""Surround an image with a border."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text
from pytest_mlscope.components.preprocessing.crop import Position, place


class Pad(ArrayStep):
    """Put an HWC or HW image on a larger canvas of one value."""

    name: ClassVar[str] = "pad"

    width: int = Field(gt=0, le=2**16)
    """Pixels of the result."""
    height: int = Field(gt=0, le=2**16)
    """Pixels of the result."""
    value: float = Field(allow_inf_nan=False)
    """What the border is filled with; must fit the image's dtype."""
    position: Position = "center"
    """Where the image lies on the canvas."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.ndim not in (3, 4):
            raise self.error(f"needs an image of layout HWC or HW, not shape {shape_text(batch.shape[1:])}")
        height, width = batch.shape[1:3]
        if height > self.height or width > self.width:
            raise self.error(
                f"an image of {width}×{height} (width × height) does not fit on {self.width}×{self.height}"
            )
        if batch.dtype.kind in "iu":
            limits = np.iinfo(batch.dtype)
            # numpy would cut the fraction off, or wrap the value around.
            if not self.value.is_integer() or not limits.min <= self.value <= limits.max:
                raise self.error(f"value {self.value} does not fit {batch.dtype}")
        canvas = np.full((batch.shape[0], self.height, self.width, *batch.shape[3:]), self.value, dtype=batch.dtype)
        top, left = place(self.position, self.height - height, self.width - width)
        canvas[:, top : top + height, left : left + width] = batch
        return canvas
