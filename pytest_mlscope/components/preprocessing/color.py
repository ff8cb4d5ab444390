"""Convert between colour modes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text

ColorMode = Literal["RGB", "BGR", "L"]


class Color(ArrayStep):
    """Convert the colour mode: RGB and BGR images are HWC, L (grey) images HW.

    Grey is the luma of ITU-R BT.601, ``0.299 R + 0.587 G + 0.114 B``; for uint8 in Pillow's 16-bit fixed point.
    """

    name: ClassVar[str] = "color"

    source: ColorMode
    """The mode the image has. It is believed, not checked: channels carry no names."""
    target: ColorMode
    """The mode wanted."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        is_grey = self.source == "L"
        if batch.ndim != (3 if is_grey else 4) or (not is_grey and batch.shape[-1] != 3):
            expected = "H×W" if is_grey else "H×W×3"
            raise self.error(f"an image in {self.source} has shape {expected}, not {shape_text(batch.shape[1:])}")
        if self.source == self.target:
            return batch
        if is_grey:
            return np.repeat(batch[..., np.newaxis], 3, axis=-1)
        if self.target != "L":
            return np.ascontiguousarray(batch[..., ::-1])
        red, green, blue = (batch[..., self.source.index(channel)] for channel in "RGB")
        if batch.dtype == np.uint8:
            # The coefficients times 2 ** 16, as in Pillow's source, so that both give the same pixels.
            luma = 19595 * red.astype(np.uint32) + 38470 * green.astype(np.uint32) + 7471 * blue.astype(np.uint32)
            return ((luma + 0x8000) >> 16).astype(np.uint8)
        if batch.dtype.kind != "f":
            raise self.error(f"grey needs uint8 or a floating-point dtype, not {batch.dtype}")
        scalar = batch.dtype.type
        return np.asarray(red * scalar(0.299) + green * scalar(0.587) + blue * scalar(0.114))
