"""Numerical comparison of a model's outputs with a reference's, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_TOLERANCE = {"fp32": (1e-4, 1e-4), "fp16": (1e-2, 1e-2), "bf16": (5e-2, 5e-2), "int8": (2.5e-1, 1e-1)}
"""Absolute and relative tolerance by precision, where the manifest names none. That of int8 is a few steps of outputs
that span some tens, as logits do: a 255th of the span each."""


def default_tolerance(precision: str, resolved: object) -> tuple[float, float]:
    """Absolute and relative tolerance where the manifest names none.

    :param precision: the one asked for.
    :param resolved: what the framework made of it, such as ``bf16``: what counts where it was left to choose. Of
        several, such as ``int8 and bf16``, the loosest.
    """
    named = str(resolved).split() if precision == "framework_default" else [precision]
    known = [DEFAULT_TOLERANCE[name] for name in named if name in DEFAULT_TOLERANCE]
    return max(known, default=DEFAULT_TOLERANCE["fp32"])


class OutputComparison:
    """Accumulates differences over chunks; memory does not grow with the rows."""

    def __init__(self, abs_tolerance: float, rel_tolerance: float) -> None:
        self._abs = abs_tolerance
        self._rel = rel_tolerance
        self.max_abs = 0.0
        self.max_rel = 0.0
        self.violations = 0
        self.elements = 0
        self.finite = 0
        self.agreeing = 0
        self.ranked = 0
        self.mismatch: str | None = None

    def update(self, name: str, output: NDArray[Any], reference: NDArray[Any], *, ranked: bool) -> None:
        """Compare one output of some rows, shape ``(rows, …)``.

        :param ranked: whether the largest element's place is counted as the prediction.
        """
        if output.shape != reference.shape:
            self.mismatch = (
                f"output {name!r} has shape {list(output.shape[1:])} a row, the reference's {list(reference.shape[1:])}"
            )
            return
        if output.dtype.kind not in "fiub":
            self._count(output != reference, output.size)
            self.finite += output.size
            return
        a = np.asarray(output, dtype=np.float64)
        b = np.asarray(reference, dtype=np.float64)
        # Equal infinities agree; a NaN agrees with a NaN alone.
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            difference = np.where(same, 0.0, np.abs(a - b))
            difference[np.isnan(difference)] = np.inf
            magnitude = np.abs(b)
            relative = np.where(same | (magnitude == 0), 0.0, difference / magnitude)
            relative[np.isnan(relative)] = np.inf
            allowed = self._abs + self._rel * np.where(np.isfinite(magnitude), magnitude, 0.0)
        if difference.size:
            self.max_abs = max(self.max_abs, float(difference.max()))
            self.max_rel = max(self.max_rel, float(relative.max()))
        self._count(difference > allowed, output.size)
        self.finite += int(np.count_nonzero(np.isfinite(a) & np.isfinite(b)))
        if ranked and a.ndim == 2 and a.shape[1] > 1:
            self.ranked += len(a)
            # A row with a NaN has no largest element to agree on.
            has_largest = ~(np.isnan(a) | np.isnan(b)).any(axis=1)
            self.agreeing += int((has_largest & (a.argmax(axis=1) == b.argmax(axis=1))).sum())

    def _count(self, violating: NDArray[Any], elements: int) -> None:
        self.violations += int(np.count_nonzero(violating))
        self.elements += elements

    @property
    def top1_agreement(self) -> float | None:
        """Share of rows whose largest element lies in the same place; ``None`` where outputs have no classes."""
        return self.agreeing / self.ranked if self.ranked else None
