"""Steps that turn logits into probabilities."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.parameters import Holds
from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.errors import PreprocessingError


def _floating(batch: NDArray[Any], step: str) -> NDArray[Any]:
    if batch.dtype.kind != "f":
        raise PreprocessingError(f"step {step!r}: needs a floating-point output, not {batch.dtype}")
    # Sums over a thousand classes lose digits in half precision.
    return batch.astype(np.float32) if batch.dtype == np.float16 else batch


_FEW_CLASSES = 64
"""Up to so many classes, an array that holds the samples side by side is the faster one to reduce."""


def check_axis(batch: NDArray[Any], axis: int, step: str) -> None:
    """:raises PreprocessingError: when ``axis`` is the batch dimension or does not exist."""
    if not -batch.ndim <= axis < batch.ndim or axis % batch.ndim == 0:
        raise PreprocessingError(
            f"step {step!r}: axis {axis} is not a dimension of a sample in an output of shape {batch.shape}"
        )


class Softmax(PostprocessingStep):
    """``exp(x) / Σ exp(x)`` along one dimension, shifted by the maximum so that it cannot overflow.

    >>> Softmax().apply_batch(np.array([[0.0, 0.0, 1000.0]])).tolist()
    [[0.0, 0.0, 1.0]]
    """

    name: ClassVar[str] = "softmax"
    gives: ClassVar[Holds | None] = "scores"

    axis: int = Field(default=-1, ge=-8, le=8)
    """The dimension of the classes in the output, where 0 is the batch."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        logits = _floating(batch, self.name)
        check_axis(batch, self.axis, self.name)
        # The classes go first: numpy reduces a long row quickly, and many short ones only all at once.
        first = np.moveaxis(logits, self.axis, 0)
        powers = np.array(first, order="C") if first.shape[0] <= _FEW_CLASSES else first.copy("K")
        powers -= powers.max(axis=0)
        np.exp(powers, out=powers)
        powers /= powers.sum(axis=0)
        return np.asarray(np.moveaxis(powers, 0, self.axis), dtype=batch.dtype)


class Sigmoid(PostprocessingStep):
    """``1 / (1 + exp(-x))`` of every element, by way of tanh so that it cannot overflow."""

    name: ClassVar[str] = "sigmoid"
    gives: ClassVar[Holds | None] = "scores"

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        logits = _floating(batch, self.name)
        half = logits.dtype.type(0.5)
        return np.asarray(half * (np.tanh(logits * half) + 1), dtype=batch.dtype)
