"""Errors of predicted quantities."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.metrics.base import Metric, MetricState, MetricValue
from pytest_mlscope.errors import DatasetError, PreprocessingError


def _sizes(values: NDArray[Any]) -> list[int]:
    return [size for size in values.shape[1:] if size != 1]


class _DifferenceState(MetricState):
    """Sums a power of ``|output - label|`` in float64. Rows without a prediction have no difference: ``n`` leaves
    them out."""

    def __init__(self, metric: str, *, squared: bool) -> None:
        self._metric = metric
        self._squared = squared
        self._total = 0.0
        self._elements = 0
        self._n = 0
        self._rows: list[NDArray[Any]] = []

    def update(self, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
        if labels.dtype.kind not in "biuf":
            raise DatasetError(f"metric {self._metric!r}: labels must be numbers, not {labels.dtype}")
        if outputs.dtype.kind not in "biuf":
            # A conversion to float64 would drop the imaginary part.
            raise PreprocessingError(f"metric {self._metric!r}: the output must be real numbers, not {outputs.dtype}")
        # (batch,) against (batch, 1) would broadcast to every pair.
        # NCHW against NHWC has as many elements: only dimensions of 1 may differ.
        if len(outputs) != len(labels) or _sizes(outputs) != _sizes(labels):
            raise DatasetError(
                f"metric {self._metric!r}: the output has shape {outputs.shape}, the labels {labels.shape}"
            )
        for side, values, error in (("output", outputs, PreprocessingError), ("labels", labels, DatasetError)):
            # Refused, not left out: a mean over the other rows would look better than the model is.
            if values.dtype.kind == "f" and np.isnan(values).any():
                rows = int(np.isnan(values).reshape(len(values), -1).any(axis=1).sum())
                held = "holds" if side == "output" else "hold"
                raise error(
                    f"metric {self._metric!r}: the {side} {held} NaN ({rows} of {len(values)} rows of one batch)"
                )
        # float64 before subtracting: unsigned integers wrap around, and float16 rounds.
        difference = outputs.astype(np.float64).ravel() - labels.astype(np.float64).ravel()
        self._total += float(difference @ difference) if self._squared else float(np.abs(difference).sum())
        self._elements += difference.size
        if difference.size:
            by_row = difference.reshape(len(labels), -1)
            self._rows.append((by_row**2 if self._squared else np.abs(by_row)).mean(axis=1))
        self._n += len(labels)

    def count_errors(self, rows: int) -> None:
        """Left out: see the class."""

    def result(self) -> MetricValue:
        if not self._elements:
            # No number, rather than 0.0, which would be a perfect score.
            return MetricValue(float("nan"), 0)
        mean = self._total / self._elements
        return MetricValue(sqrt(mean) if self._squared else mean, self._n)

    def row_values(self) -> NDArray[Any]:
        """The mean absolute, or mean squared, difference of each row."""
        return np.concatenate([np.empty(0), *self._rows])


class MeanAbsoluteError(Metric):
    """Mean of ``|output - label|`` over all elements; in the labels' unit.

    >>> state = MeanAbsoluteError().start()
    >>> state.update(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    >>> state.result().value
    1.5
    """

    name: ClassVar[str] = "mean_absolute_error"
    higher_is_better: ClassVar[bool] = False

    def start(self) -> MetricState:
        return _DifferenceState(self.name, squared=False)


class RootMeanSquaredError(Metric):
    """Square root of the mean of ``(output - label)²`` over all elements; in the labels' unit."""

    name: ClassVar[str] = "root_mean_squared_error"
    higher_is_better: ClassVar[bool] = False

    def start(self) -> MetricState:
        return _DifferenceState(self.name, squared=True)
