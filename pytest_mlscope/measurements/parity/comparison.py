"""Numerical comparison of a model's outputs with a reference's, chunk by chunk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import Holds

_TOP = 5

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


def is_exact(output: NDArray[Any], reference: NDArray[Any]) -> bool:
    """Whether elements are equal or wrong, with nothing between: integers, booleans and text.

    >>> is_exact(np.array([40000]), np.array([40001]))
    True
    """
    return output.dtype.kind != "f" or reference.dtype.kind != "f"


def is_scores(output: NDArray[Any], holds: Holds | None = None) -> bool:
    """Whether elements can be scores. Integers of many bits are numbers of things, such as tokens; quantised scores
    have few.

    :param holds: what the manifest says of integers.
    """
    if holds is not None and output.dtype.kind in "iu":
        return holds == "scores"
    return output.dtype.kind == "f" or (output.dtype.kind in "iu" and output.dtype.itemsize <= 2)


def has_classes(output: NDArray[Any]) -> bool:
    """Whether a row, of shape ``(rows, classes)`` but for dimensions of 1, has a largest element to agree on."""
    return output.ndim >= 2 and output.shape[1] > 1 and math.prod(output.shape[1:]) == output.shape[1]


class OutputComparison:
    """Accumulates differences over chunks; memory does not grow with the rows.

    >>> comparison = OutputComparison(0.0, 0.1)
    >>> comparison.update("scores", np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]), ranked=True)
    >>> comparison.violations, comparison.max_abs, comparison.top1_agreement
    (1, 0.5, 1.0)
    """

    def __init__(
        self, abs_tolerance: float, rel_tolerance: float, *, exact_integers: bool = True, equal_nan: bool = True
    ) -> None:
        """:param exact_integers: whether integers and booleans must be equal, whatever the tolerance: the next token
            is another word.
        :param equal_nan: whether NaN in both is agreement.
        """
        self._abs = abs_tolerance
        self._rel = rel_tolerance
        self._exact_integers = exact_integers
        self._equal_nan = equal_nan
        self._max_abs = 0.0
        self._max_rel = 0.0
        self.violations = 0
        self.elements = 0
        self.finite = 0
        self.agreeing = 0
        self.ranked = 0
        self.nan = 0
        """Elements that are NaN in the output alone."""
        self.reference_nan = 0
        """Elements that are NaN in the reference alone."""
        self.both_nan = 0
        self.exact = False
        """Whether equality was asked for."""
        self.peak = 0.0
        """The reference's largest finite magnitude."""
        self.mismatch: str | None = None
        self._shared = 0.0
        self._ranked_beyond_five = 0
        self._measured = 0
        self._numbers = 0
        self._lowest, self._highest = math.inf, -math.inf
        self._product = self._square = self._reference_square = self._error_square = 0.0

    def update(
        self, name: str, output: NDArray[Any], reference: NDArray[Any], *, ranked: bool, holds: Holds | None = None
    ) -> None:
        """Compare one output of some rows, shape ``(rows, …)``.

        :param ranked: whether the largest element's place is counted as the prediction.
        :param holds: what the manifest says that the output holds.
        """
        if output.shape != reference.shape:
            self.mismatch = (
                f"output {name!r} has shape {list(output.shape[1:])} a row, the reference's {list(reference.shape[1:])}"
            )
            return
        numbers = [array.dtype.kind in "fiub" for array in (output, reference)]
        if numbers[0] != numbers[1]:
            self.mismatch = f"output {name!r} has dtype {output.dtype}, the reference's {reference.dtype}"
            return
        if not numbers[0]:
            self.exact = True
            self._count(output != reference, output.size)
            self.finite += output.size
            return
        exact = self._exact_integers and is_exact(output, reference)
        self.exact |= exact
        # Differences of fp16 or of unsigned integers would overflow, or wrap, in their own types.
        a = np.asarray(output, dtype=np.float64)
        b = np.asarray(reference, dtype=np.float64)
        a_nan, b_nan = np.isnan(a), np.isnan(b)
        both_nan = a_nan & b_nan
        # In their own types: large integers are not told apart as floats. Equal infinities agree.
        same = (output == reference) | both_nan
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            difference = np.where(same, 0.0, np.abs(a - b))
            if output.dtype.kind != "f" and reference.dtype.kind != "f":
                # Integers beyond 2**53 that differ may be equal as floats.
                difference[~same & (difference == 0)] = 1.0
            # NaN on one side, or infinities of unlike signs: further apart than any number, and max() loses NaN.
            difference[np.isnan(difference)] = np.inf
            magnitude = np.abs(b)
            # Where the reference is nearly zero, what is relative to it says nothing that the absolute does not.
            scale = np.maximum(magnitude, 0.0 if exact else self._abs)
            relative = np.where(same | (scale == 0), 0.0, difference / scale)
            relative[np.isnan(relative)] = np.inf
            # An infinite reference would otherwise allow anything.
            allowed = self._abs + self._rel * np.where(np.isfinite(magnitude), magnitude, 0.0)
        if difference.size:
            self._max_abs = max(self._max_abs, float(difference.max()))
            self._max_rel = max(self._max_rel, float(relative.max()))
        self._measured += output.size
        self.both_nan += int(np.count_nonzero(both_nan))
        self.nan += int(np.count_nonzero(a_nan & ~both_nan))
        self.reference_nan += int(np.count_nonzero(b_nan & ~both_nan))
        violating = ~same if exact else difference > allowed
        self._count(violating if self._equal_nan else violating | both_nan, output.size)
        self._add_up(a, b)
        if ranked and is_scores(output, holds) and has_classes(output):
            self._rank(a.reshape(a.shape[:2]), b.reshape(a.shape[:2]))

    @property
    def not_numbers(self) -> int:
        """Elements that are NaN and not in agreement."""
        return self.nan + self.reference_nan + (0 if self._equal_nan else self.both_nan)

    @property
    def max_abs(self) -> float | None:
        """Largest absolute difference, ``inf`` where one is not finite and the other is; ``None`` where no number
        could be compared.
        """
        return self._max_abs if self._measured and self.mismatch is None else None

    @property
    def max_rel(self) -> float | None:
        """Largest difference relative to the reference's magnitude, or to the absolute tolerance where that is larger;
        ``None`` where no number could be compared.
        """
        return self._max_rel if self._measured and self.mismatch is None else None

    def _add_up(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        finite = np.isfinite(a) & np.isfinite(b)
        count = int(np.count_nonzero(finite))
        self.finite += count
        if not count:
            return
        # Only then: to pick elements copies both arrays.
        if count < finite.size:
            a, b = a[finite], b[finite]
        else:
            a, b = a.ravel(), b.ravel()
        lowest, highest = float(b.min()), float(b.max())
        self._numbers += count
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        self.peak = max(self.peak, -lowest, highest)
        with np.errstate(over="ignore"):
            self._product += float(a @ b)
            self._square += float(a @ a)
            self._reference_square += float(b @ b)
            error = a - b
            self._error_square += float(error @ error)

    def _rank(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        self.ranked += len(a)
        # A row with a NaN has no largest element to agree on.
        has_largest = ~(np.isnan(a) | np.isnan(b)).any(axis=1)
        self.agreeing += int((has_largest & (a.argmax(axis=1) == b.argmax(axis=1))).sum())
        if a.shape[1] > _TOP:
            self._ranked_beyond_five += len(a)
            # A stable order: of equal elements the first ranks higher, as for argmax.
            one, other = (np.argsort(-scores[has_largest], axis=1, kind="stable")[:, :_TOP] for scores in (a, b))
            self._shared += float((one[:, :, None] == other[:, None, :]).sum()) / _TOP

    def _count(self, violating: NDArray[Any], elements: int) -> None:
        self.violations += int(np.count_nonzero(violating))
        self.elements += elements

    @property
    def top1_agreement(self) -> float | None:
        """Share of rows whose largest element lies in the same place; ``None`` where outputs have no classes."""
        return self.agreeing / self.ranked if self.ranked else None

    @property
    def top5_agreement(self) -> float | None:
        """Mean share of a row's five largest elements that are among the reference's five: the overlap of top-k lists
        (R. Fagin, R. Kumar, D. Sivakumar, "Comparing top k lists", SIAM J. Discrete Math. 17(1), 2003). ``None``
        for outputs without more than five classes.
        """
        return self._shared / self._ranked_beyond_five if self._ranked_beyond_five else None

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between all elements that are finite in both, taken as two vectors: a·b / (‖a‖‖b‖)
        (G. Salton, M. J. McGill, *Introduction to Modern Information Retrieval*, 1983). ``None`` where one is zero.
        """
        lengths = math.sqrt(self._square) * math.sqrt(self._reference_square)
        if lengths and self._error_square == 0:
            return 1.0  # The sums' own rounding is no angle.
        # A square of the largest numbers overflows.
        if not lengths or not math.isfinite(lengths):
            return None
        # Rounding may put it a little beyond.
        return min(1.0, max(-1.0, self._product / lengths))

    @property
    def psnr(self) -> float | None:
        """Peak signal-to-noise ratio in dB, 10·log10(range² / mean squared error), over elements that are finite in
        both; the range is the reference's largest element less its smallest (R. C. Gonzalez, R. E. Woods, *Digital
        Image Processing*, 4th ed., 2018, where it is that of the pixels). ``inf`` without any difference, ``None``
        where the reference is constant.
        """
        span = self._highest - self._lowest
        if not self._numbers or span <= 0:
            return None
        if self._error_square == 0:
            return math.inf
        # Logarithms apart: a square of the smallest numbers would be 0.
        return 20 * math.log10(span) - 10 * (math.log10(self._error_square) - math.log10(self._numbers))

    @property
    def root_mean_square(self) -> float:
        """Of the reference's elements that are finite in both; 0 where there are none."""
        return math.sqrt(self._reference_square / self._numbers) if self._numbers else 0.0
