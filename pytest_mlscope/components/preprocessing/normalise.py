"""Subtract a mean and divide by a standard deviation, for all values or by channel."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, field_validator, model_validator

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text


class Normalise(ArrayStep):
    """``(x - mean) / std``, in the dtype of ``x``, which must be a floating-point one.

    >>> Normalise(mean=[0.5, 0.0], std=[0.5, 2.0], axis=-1).apply_batch(np.array([[1.0, 4.0]])).tolist()
    [[1.0, 2.0]]
    """

    name: ClassVar[str] = "normalise"

    mean: FiniteFloat | list[FiniteFloat]
    """One number, or one a channel."""
    std: FiniteFloat | list[FiniteFloat]
    """One number, or one a channel; never zero."""
    axis: int | None = Field(default=None, ge=-8, le=7)
    """The channel dimension of a sample (0 for CHW, -1 for HWC); needed where ``mean`` or ``std`` is a list."""

    @field_validator("std")
    @classmethod
    def _not_zero(cls, value: float | list[float]) -> float | list[float]:
        if 0 in (value if isinstance(value, list) else [value]):
            raise ValueError("std must not be zero")
        return value

    @model_validator(mode="after")
    def _channels_agree(self) -> Normalise:
        lengths = {len(value) for value in (self.mean, self.std) if isinstance(value, list)}
        if lengths and self.axis is None:
            raise ValueError("axis is needed with one mean or std a channel: 0 for CHW, -1 for HWC")
        if not lengths and self.axis is not None:
            raise ValueError("axis has no meaning where mean and std are single numbers")
        if len(lengths) > 1:
            raise ValueError("mean and std have different numbers of channels")
        if 0 in lengths:
            raise ValueError("mean and std need at least one channel")
        return self

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.dtype.kind != "f":
            raise self.error(f"needs a floating-point dtype, not {batch.dtype}; put a cast step first")
        normalised: NDArray[Any] = np.subtract(batch, self._broadcast(self.mean, batch))
        # In place: np.subtract has made an array of its own.
        normalised /= self._broadcast(self.std, batch)
        return normalised

    def _broadcast(self, value: float | list[float], batch: NDArray[Any]) -> Any:
        if not isinstance(value, list) or self.axis is None:
            return batch.dtype.type(value)
        dimensions = batch.ndim - 1
        if not -dimensions <= self.axis < dimensions:
            raise self.error(f"axis {self.axis} does not exist in a sample of shape {shape_text(batch.shape[1:])}")
        position = self.axis % dimensions
        if batch.shape[1 + position] != len(value):
            raise self.error(
                f"{len(value)} channels given, but dimension {self.axis} of a sample of shape "
                f"{shape_text(batch.shape[1:])} has {batch.shape[1 + position]}"
            )
        shape = [1] * dimensions
        shape[position] = len(value)
        return np.asarray(value, dtype=batch.dtype).reshape(shape)
