"""Steps that work on whole batches of arrays at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.datasets.columns import is_number
from pytest_mlscope.components.preprocessing.base import PreprocessingStep, Sample
from pytest_mlscope.errors import PreprocessingError

NO_TEXT = "inputs of models are numbers: store the text as token numbers, and name a model that takes those"


def as_array(sample: Sample, step: str) -> NDArray[Any]:
    """:raises PreprocessingError: when the sample is still encoded bytes, or text."""
    # Before numpy sees it: it makes an array of any text.
    if isinstance(sample, str):
        advice = "say under the dataset's `dtypes` that the column holds numbers" if is_number(sample) else NO_TEXT
        raise PreprocessingError(f"step {step!r}: needs numbers, not the text {sample!r:.60}; {advice}")
    if isinstance(sample, (bytes, bytearray, memoryview)):
        raise PreprocessingError(f"step {step!r}: needs an array, not {type(sample).__name__}; put a decode step first")
    array = np.asarray(sample)
    if array.dtype.kind not in "biuf":
        raise PreprocessingError(f"step {step!r}: needs numbers, not {array.dtype}")
    return array


class ArrayStep(PreprocessingStep):
    """A step defined on batches; one sample is a batch of one."""

    def apply(self, sample: Sample) -> Sample:
        return self.apply_batch(as_array(sample, self.name)[np.newaxis])[0]

    @abstractmethod
    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Process samples stacked on a leading batch dimension. The input is never written to."""

    def error(self, message: str) -> PreprocessingError:
        return PreprocessingError(f"step {self.name!r}: {message}")


def shape_text(shape: tuple[int, ...]) -> str:
    """A sample's shape as messages write it: ``8×8``."""
    return "×".join(str(size) for size in shape) or "scalar"
