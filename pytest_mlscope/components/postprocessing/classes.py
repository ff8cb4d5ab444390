"""Steps that turn scores into class numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.parameters import Holds
from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.postprocessing.scores import check_axis
from pytest_mlscope.errors import PreprocessingError


def _check_numbers(batch: NDArray[Any], step: str) -> None:
    if batch.dtype.kind not in "biuf":
        raise PreprocessingError(f"step {step!r}: needs scores that are real numbers, not {batch.dtype}")


class Argmax(PostprocessingStep):
    """The number of the largest element, int64, the dimension removed. Of equal elements the first.

    >>> Argmax().apply_batch(np.array([[0.1, 0.7, 0.2], [0.5, np.nan, 0.1]])).tolist()
    [1, -1]

    -1, which is no class, where one of the elements is not a number.
    """

    name: ClassVar[str] = "argmax"
    gives: ClassVar[Holds | None] = "ranking"

    axis: int = Field(default=-1, ge=-8, le=8)
    """The dimension of the classes in the output, where 0 is the batch."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        check_axis(batch, self.axis, self.name)
        _check_numbers(batch, self.name)
        best = np.asarray(batch.argmax(axis=self.axis), dtype=np.int64)
        if batch.dtype.kind == "f":
            # argmax stops at NaN: the maximum itself is NaN then.
            best[np.isnan(batch.max(axis=self.axis))] = -1
        return best


class TopK(PostprocessingStep):
    """The numbers of the ``k`` largest of the classes, best first: ``(batch, classes)`` to int64 ``(batch, k)``.

    >>> TopK(k=2).apply_batch(np.array([[0.1, 0.7, 0.2]])).tolist()
    [[1, 2]]

    Of equal elements the lower number comes first. Elements that are not a number come before all others, as -1,
    which is no class.
    """

    name: ClassVar[str] = "top_k"
    gives: ClassVar[Holds | None] = "ranking"

    k: int = Field(gt=0, le=2**16)
    """How many classes to keep."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.ndim != 2:
            raise PreprocessingError(f"step 'top_k': needs an output of shape (batch, classes), not {batch.shape}")
        classes = batch.shape[1]
        if self.k > classes:
            raise PreprocessingError(f"step 'top_k': k is {self.k}, but the output has {classes} classes")
        _check_numbers(batch, self.name)
        if batch.dtype.kind == "f":
            unknown = np.isnan(batch)
            if unknown.any():
                order = np.lexsort((-batch, ~unknown), axis=1)[:, : self.k]
                return np.where(np.take_along_axis(unknown, order, axis=1), -1, order).astype(np.int64)
            return np.argsort(-batch, axis=1, kind="stable")[:, : self.k].astype(np.int64)
        # Unsigned integers cannot be negated: sort the mirrored row upwards and mirror back.
        upwards = np.argsort(batch[:, ::-1], axis=1, kind="stable")[:, ::-1]
        return np.asarray(classes - 1 - upwards[:, : self.k], dtype=np.int64)


class Threshold(PostprocessingStep):
    """The class of a row with one score: 1 where the score is more than ``at``, else 0; int64 ``(batch,)``.

    -1, which is no class, where the score is not a number.
    """

    name: ClassVar[str] = "threshold"
    gives: ClassVar[Holds | None] = "ranking"

    at: float = Field(default=0.5, allow_inf_nan=False)
    """The score above which a row is of class 1: 0.5 of a probability, 0 of a logit."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        _check_numbers(batch, self.name)
        if batch.size != len(batch):
            raise PreprocessingError(f"step 'threshold': needs one score a row, not an output of shape {batch.shape}")
        scores = batch.reshape(len(batch))
        # Written out, since a comparison with NaN is false, and the row would be of class 0.
        return np.where(np.isnan(scores), -1, scores > self.at).astype(np.int64)
