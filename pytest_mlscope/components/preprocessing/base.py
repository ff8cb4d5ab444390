"""What a pre-processing step is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.parameters import Component

Sample = Any
"""Encoded bytes before a decode step; afterwards a numpy array of one sample, without the batch dimension."""


class PreprocessingStep(Component):
    """One step of an input's pre-processing: its parameters are its fields, all explicit, all part of the hash.

    In a manifest: ``{step: NAME, …fields}``.
    """

    @abstractmethod
    def apply(self, sample: Sample) -> Sample:
        """Process one sample.

        :raises PreprocessingError: when the sample is not what the step works on.
        """

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Process samples stacked on a leading batch dimension; override where numpy does it at once."""
        return np.stack([self.apply(sample) for sample in batch])
