"""How far one layer's output is from the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.bisection.layers import Layer
from pytest_mlscope.measurements import OutputComparison

_ELEMENTS = 1 << 18
"""Compared at once: comparing takes several arrays of 64-bit floats."""


@dataclass(frozen=True)
class LayerDifference:
    """One layer in both, over all rows compared.

    >>> layer = LayerDifference("conv1", "", "Conv", (1, 8), max_abs=0.5, max_rel=0.25, peak=4.0)
    >>> layer.relative, layer.leaves(0.1)
    (0.125, True)
    """

    output: str
    """Name of the tensor."""
    node: str
    """Name of the node; many files give none."""
    op_type: str
    shape: tuple[int, ...]
    """Of one batch."""
    max_abs: float
    """Largest absolute difference; ``inf`` where one is not finite and the other is."""
    max_rel: float
    """Largest difference relative to the reference's element, where that is not zero."""
    peak: float
    """Largest magnitude in the reference."""
    mismatch: str | None = None
    """What differs where outputs cannot be compared at all."""

    @property
    def relative(self) -> float:
        """``max_abs`` relative to ``peak``: what the tolerance is about."""
        if self.mismatch is not None:
            return float("inf")
        if self.max_abs == 0:
            return 0.0
        return self.max_abs / self.peak if self.peak else float("inf")

    def leaves(self, tolerance: float) -> bool:
        """Whether it is not within the tolerance."""
        # Not "greater": NaN must leave it.
        return not self.relative <= tolerance


class LayerComparison:
    """Accumulates a layer's difference over batches."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        # Without tolerances: of numbers the largest difference is read, and text must not differ at all.
        self._comparison = OutputComparison(0.0, 0.0)
        self._shape: tuple[int, ...] = ()
        self._mismatch: str | None = None

    def update(self, output: NDArray[Any], reference: NDArray[Any]) -> None:
        """Compare one batch. Dimensions of 1 may be left out by either."""
        self._shape = output.shape
        # Frameworks differ in whether they keep (n, c, 1, 1) or drop the ones; the elements are the same.
        if [size for size in output.shape if size != 1] != [size for size in reference.shape if size != 1]:
            self._mismatch = f"shape {list(output.shape)}, the reference's {list(reference.shape)}"
            return
        one, other = output.reshape(1, -1), reference.reshape(1, -1)
        for start in range(0, one.shape[1], _ELEMENTS):
            part = slice(start, start + _ELEMENTS)
            self._comparison.update(self._layer.output, one[:, part], other[:, part], ranked=False)
        # Text has no largest difference, so unequal elements are all that can be said.
        if output.dtype.kind not in "fiub" and self._comparison.violations:
            self._mismatch = f"{self._comparison.violations} elements of type {output.dtype} differ"

    def difference(self) -> LayerDifference:
        """Over the batches so far."""
        compared = self._comparison
        node = self._layer.node
        return LayerDifference(
            output=self._layer.output,
            node=node.name,
            op_type=node.op_type,
            shape=tuple(map(int, self._shape)),
            max_abs=compared.max_abs or 0.0,
            max_rel=compared.max_rel or 0.0,
            peak=compared.peak,
            mismatch=self._mismatch,
        )
