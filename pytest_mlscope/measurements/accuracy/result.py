"""What accuracy gives: the metrics, and the predictions that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components import MetricValue
from pytest_mlscope.record_fields import (
    Count,
    Mark,
    Rate,
    Seconds,
    derived,
)

KEPT_ROW_ELEMENTS = 4096
"""A row's prediction or label with more elements, such as a mask, is not kept: a dataset of them fills the memory."""


@dataclass(frozen=True)
class Predictions:
    """Results in row order, of rows that have one; arrays ``(n, 0)`` stand for rows too large."""

    rows: Annotated[NDArray[np.int64], Mark.OMISSIBLE]
    """Row numbers in the dataset, shape ``(n,)``."""
    labels: Annotated[NDArray[Any], Mark.OMISSIBLE]
    """Expected result of each row, shape ``(n, …)``."""
    predicted: Annotated[NDArray[Any], Mark.OMISSIBLE]
    """The predicted class of each row, shape ``(n,)``, where the first metric's output is classes or class scores; else
    the output itself, shape ``(n, …)``."""
    omitted: str | None = None
    """What was left out because of its size, and the limit; ``None`` where everything is kept."""

    def __repr__(self) -> str:
        return f"Predictions(n={len(self.rows)})"


@dataclass(frozen=True)
class FailedRows:
    """Rows with the same error."""

    rows: tuple[int, ...]
    """Row numbers."""
    message: str
    """What went wrong."""


@dataclass(frozen=True)
class InputShift:
    """How far a pre-processing variant moves the input tensors from the stated recipe's, over all rows."""

    mean_abs: float
    """Mean absolute difference."""
    max_abs: float
    """Largest absolute difference."""
    shape_differs: bool = False
    """Whether the tensors' shapes differ, so that no difference exists."""


def _metric_text(metric: MetricValue) -> str:
    interval = "" if metric.interval is None else f" (95%: {metric.interval[0]:.4f}–{metric.interval[1]:.4f})"
    return f"{metric.value:.4f}{interval}"


@dataclass(frozen=True)
class Accuracy:
    """Metrics over a dataset. ``accuracy["top1"]`` is that metric's value."""

    metrics: Mapping[str, MetricValue]
    """Metric name to its value."""
    n: Count
    """Rows asked for, errors included: the denominator."""
    errors: Count
    """Rows that could not be read, pre-processed or predicted."""
    failures: Sequence[FailedRows]
    """Why rows are errors."""
    predictions: Predictions
    """Results in row order."""
    seconds: Seconds | None
    """Wall time from the first batch sent to the last one scored; ``None`` under emulation."""
    input_shift: InputShift | None = None
    """How far a pre-processing variant moves the input tensors from the stated one's; ``None`` for the stated one."""
    self_difference: float | None = None
    """Largest difference of two predictions of the same first rows, where it is beyond the precision's tolerance: the
    metrics are those of one draw. ``None`` where the model gives the same twice."""
    row_values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric name to its value of each row of ``predictions.rows``: two runs are compared by them. Metrics that are no
    mean of such values, and those of very many rows, are absent."""

    def __repr__(self) -> str:
        facts = [f"{name}={_metric_text(metric)}" for name, metric in self.metrics.items()]
        return f"Accuracy({', '.join([*facts, f'n={self.n}', f'errors={self.errors}'])})"

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric].value

    @property
    @derived
    def samples_per_second(self) -> Rate | None:
        """``n`` over ``seconds``."""
        return self.n / self.seconds if self.seconds else None
