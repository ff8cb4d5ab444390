"""What a post-processing step is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from numpy.typing import NDArray

from pytest_mlscope.components.parameters import Component, Holds


class PostprocessingStep(Component):
    """One step from a model's raw output to what metrics read. In a manifest: ``{step: NAME, …fields}``."""

    gives: ClassVar[Holds | None] = None
    """What the result holds, where the step decides that: a metric need not be told then."""

    @abstractmethod
    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Process one output of a batch: shape ``(batch, …)`` in and out.

        :raises PreprocessingError: when the output's shape or dtype is not what the step works on.
        """
