"""What a post-processing step is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.components.parameters import Component


class PostprocessingStep(Component):
    """One step from a model's raw output to what metrics read. In a manifest: ``{step: NAME, …fields}``."""

    @abstractmethod
    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Process one output of a batch: shape ``(batch, …)`` in and out.

        :raises PreprocessingError: when the output's shape or dtype is not what the step works on.
        """
