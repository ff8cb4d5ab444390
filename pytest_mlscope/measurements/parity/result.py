"""What parity gives: how far raw outputs are from the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pytest_mlscope.record_fields import (
    Count,
    Unit,
    derived,
)


@dataclass(frozen=True)
class OutputParity:
    """One output against the reference's."""

    name: str
    """The output's name in the manifest."""
    max_abs: float | None
    """Largest absolute difference; ``None`` where it cannot be compared, or holds no numbers."""
    max_rel: float | None
    """Largest relative difference, as of all outputs."""
    cosine: float | None
    """Cosine similarity, over the elements that are finite in both; ``None`` where either is all zero."""
    psnr: Annotated[float, Unit("dB")] | None
    """Peak signal-to-noise ratio, the peak being the range of the reference."""
    abs_tolerance: float | None
    """Absolute tolerance; ``None`` where an agreement stands in its place."""
    rel_tolerance: float | None
    """Relative tolerance."""
    tolerance_source: str
    """Where the tolerance comes from, as of all outputs."""
    violations: Count
    """Elements outside the tolerance."""
    elements: Count
    """Elements compared."""

    @property
    def bounded(self) -> bool:
        """Whether its elements have a tolerance."""
        return self.tolerance_source != "agreement"


@dataclass(frozen=True)
class Parity:
    """Raw outputs against the reference framework's, on the same pre-processed inputs."""

    reference: str
    """Framework, version and precision of the reference, readable."""
    n: Count
    """Rows compared."""
    max_abs: float | None
    """Largest absolute difference over all outputs, infinite where one is not finite and the other is; ``None`` where
    not all outputs could be compared, or none holds numbers."""
    max_rel: float | None
    """Largest difference relative to the reference's magnitude, or to the absolute tolerance where that is larger;
    ``None`` where none is known."""
    top1_agreement: float | None
    """Share of rows with the same largest element in the first output; ``None`` for outputs without classes."""
    abs_tolerance: float | None
    """Absolute tolerance of the output that is farthest from its reference; ``None`` where an agreement stands in its
    place."""
    rel_tolerance: float | None
    """Relative tolerance of the same output."""
    violations: Count
    """Elements with ``|a-b| > abs + rel*|b|``; of integers, booleans and text, elements that are not equal."""
    elements: Count
    """Elements compared."""
    mismatch: str | None = None
    """What differs when outputs cannot be compared at all, such as their shapes."""
    cosine: float | None = None
    """Lowest cosine similarity of an output, over its elements that are finite in both; ``None`` where either is all
    zero."""
    psnr: Annotated[float, Unit("dB")] | None = None
    """Lowest peak signal-to-noise ratio of an output, the peak being the range of the reference; infinite where nothing
    differs, ``None`` where the reference is constant."""
    top5_agreement: float | None = None
    """Mean share of a row's five largest elements that are among the reference's five, in the first output; ``None``
    where it has not more than five classes."""
    tolerance_source: str = "default"
    """Where the tolerance comes from: ``manifest``, ``measured`` (this model's own noise on this machine), ``default``
    (that of the precision), or of its two parts, such as ``manifest and measured``; ``exact`` of integers, booleans and
    text; ``agreement`` where the manifest states one in place of a tolerance."""
    outputs: Sequence[OutputParity] = ()
    """Each output by itself."""
    nan: Count = 0
    """Elements that are NaN in the case's outputs alone."""
    reference_nan: Count = 0
    """Elements that are NaN in the reference's outputs alone."""
    both_nan: Count = 0
    """Elements that are NaN in both: violations unless the manifest states ``equal_nan``."""
    self_difference: float | None = None
    """How far the model was from itself when it predicted some rows twice; ``None`` where that is within the tolerance,
    or was not tried because nothing violates it."""

    def __repr__(self) -> str:
        beyond = self.mismatch or f"{self.violations} of {self.elements} elements beyond tolerance"
        largest = "None" if self.max_abs is None else f"{self.max_abs:.3g}"
        return f"Parity(reference={self.reference!r}, max_abs={largest}, {beyond}, n={self.n})"

    @property
    @derived
    def within_tolerance(self) -> bool:
        """Whether the outputs could be compared and no element violates the tolerance."""
        return self.mismatch is None and self.violations == 0
