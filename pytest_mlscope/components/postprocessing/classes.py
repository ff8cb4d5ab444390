"""Steps that turn scores into class numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.postprocessing.base import PostprocessingStep
from pytest_mlscope.components.postprocessing.scores import check_axis
from pytest_mlscope.errors import PreprocessingError


class Argmax(PostprocessingStep):
    """The number of the largest element, int64, the dimension removed. Of equal elements the first."""

    name: ClassVar[str] = "argmax"

    axis: int = Field(default=-1, ge=-8, le=8)
    """The dimension of the classes in the output, where 0 is the batch."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        check_axis(batch, self.axis, self.name)
        return np.asarray(batch.argmax(axis=self.axis), dtype=np.int64)


class TopK(PostprocessingStep):
    """The numbers of the ``k`` largest of the classes, best first: ``(batch, classes)`` to int64 ``(batch, k)``.

    Of equal elements the lower number comes first.
    """

    name: ClassVar[str] = "top_k"

    k: int = Field(gt=0, le=2**16)
    """How many classes to keep."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.ndim != 2:
            raise PreprocessingError(f"step 'top_k': needs an output of shape (batch, classes), not {batch.shape}")
        classes = batch.shape[1]
        if self.k > classes:
            raise PreprocessingError(f"step 'top_k': k is {self.k}, but the output has {classes} classes")
        if batch.dtype.kind == "f":
            return np.argsort(-batch, axis=1, kind="stable")[:, : self.k].astype(np.int64)
        # Unsigned integers cannot be negated: sort the mirrored row upwards and mirror back.
        upwards = np.argsort(batch[:, ::-1], axis=1, kind="stable")[:, ::-1]
        return np.asarray(classes - 1 - upwards[:, : self.k], dtype=np.int64)
