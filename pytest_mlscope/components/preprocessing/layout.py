"""Reorder, add and remove dimensions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from pytest_mlscope.components.preprocessing.array_step import ArrayStep, shape_text


def _distinct(value: str) -> str:
    if len(set(value)) != len(value):
        raise ValueError(f"{value!r} names a dimension twice")
    if "N" in value:
        raise ValueError(f"{value!r}: a sample has no batch dimension; leave N out")
    return value


SampleLayout = Annotated[str, Field(pattern=r"^[A-Z]{1,8}$"), AfterValidator(_distinct)]


class Layout(ArrayStep):
    """Transpose a sample. A dimension that only ``target`` has is added with size 1; one that only ``source`` has is
    removed, and must have size 1.

    >>> Layout(source="HWC", target="CHW").apply_batch(np.zeros((1, 2, 4, 3))).shape
    (1, 3, 2, 4)
    """

    name: ClassVar[str] = "layout"

    source: SampleLayout
    """The sample's dimensions as they come, one letter each, such as ``HWC``; without the batch."""
    target: SampleLayout
    """The dimensions wanted, such as ``CHW``."""

    def apply_batch(self, batch: NDArray[Any]) -> NDArray[Any]:
        if batch.ndim - 1 != len(self.source):
            raise self.error(f"{self.source} does not describe a sample of shape {shape_text(batch.shape[1:])}")
        kept = [letter for letter in self.source if letter in self.target]
        for position, letter in enumerate(self.source, start=1):
            if letter not in self.target and batch.shape[position] != 1:
                raise self.error(f"cannot remove dimension {letter} of size {batch.shape[position]}")
        # Dimensions go first and come last, so that the transposition between is of those on both sides.
        squeezed = batch.reshape(
            batch.shape[:1] + tuple(size for size, letter in zip(batch.shape[1:], self.source) if letter in self.target)
        )
        order = [1 + kept.index(letter) for letter in self.target if letter in kept]
        transposed = squeezed.transpose([0, *order])
        added = [position for position, letter in enumerate(self.target, start=1) if letter not in kept]
        return np.expand_dims(transposed, tuple(added)) if added else transposed
