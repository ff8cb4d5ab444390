"""Cut out a part of an image."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text

Position = Literal["center", "top_left", "top_right", "bottom_left", "bottom_right"]


def place(position: Position, spare_height: int, spare_width: int) -> tuple[int, int]:
    """Top and left of a smaller rectangle in a larger one; an odd spare pixel goes below and to the right.

    >>> place("center", 5, 4)
    (2, 2)
    """
    if position == "center":
        return spare_height // 2, spare_width // 2
    return (
        spare_height if position.startswith("bottom") else 0,
        spare_width if position.endswith("right") else 0,
    )


class Crop(ArrayStep):
    """Cut a rectangle out of an HWC or HW image."""

    name: ClassVar[str] = "crop"

    width: int | None = Field(default=None, gt=0, le=2**16)
    """Pixels."""
    height: int | None = Field(default=None, gt=0, le=2**16)
    """Pixels."""
    fraction: float | None = Field(default=None, gt=0, le=1)
    """Share of each side that stays, in place of ``width`` and ``height``; sizes as in ``tf.image.central_crop``."""
    position: Position = "center"
    """Where the rectangle lies."""

    @model_validator(mode="after")
    def _one_size(self) -> Crop:
        sizes = (self.width is not None) + (self.height is not None)
        if (sizes, self.fraction is None) not in {(2, True), (0, False)}:
            raise ValueError("give either width and height, or fraction")
        return self

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.ndim not in (3, 4):
            raise self.error(f"needs an image of layout HWC or HW, not shape {shape_text(batch.shape[1:])}")
        full_height, full_width = batch.shape[1:3]
        if self.fraction is not None:
            # Twice a rounded border, as TensorFlow does, not a rounded size: the two differ by a pixel.
            height, width = (size - 2 * int((size - size * self.fraction) / 2) for size in (full_height, full_width))
        else:
            height, width = self.height or 0, self.width or 0
        if height > full_height or width > full_width:
            raise self.error(
                f"cannot cut {width}×{height} (width × height) out of an image of {full_width}×{full_height}"
            )
        top, left = place(self.position, full_height - height, full_width - width)
        return batch[:, top : top + height, left : left + width]
