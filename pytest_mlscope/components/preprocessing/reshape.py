"""Give a sample another shape."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field, field_validator

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text


class Reshape(ArrayStep):
    """Give a sample another shape with as many values, in row-major order."""

    name: ClassVar[str] = "reshape"

    shape: list[int] = Field(max_length=15)
    """The sample's new sizes, without the batch; one may be ``-1``: whatever is left."""

    @field_validator("shape")
    @classmethod
    def _sizes(cls, value: list[int]) -> list[int]:
        if value.count(-1) > 1 or any(size < -1 for size in value):
            raise ValueError("sizes are 0 or more; one of them may be -1")
        return value

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            return batch.reshape([batch.shape[0], *self.shape])
        except ValueError:
            raise self.error(
                f"a sample of shape {shape_text(batch.shape[1:])} cannot take shape {self.shape}"
            ) from None
