"""What a metric is: fed batch by batch, it ends in one value with its denominator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.components.parameters import Component, Holds
from pytest_mlscope.record_fields import Count

# With fewer rows, the interval of a good model may still reach down to chance.
_ROWS_FOR_CHANCE = 20


@dataclass(frozen=True)
class MetricValue:
    """A metric's value."""

    value: float
    """The value."""
    n: Count
    """Samples it is over."""
    interval: tuple[float, float] | None = None
    """Lower and upper end of its 95 % confidence interval; ``None`` for metrics without one."""
    higher_is_better: bool | None = None
    """Which way is better; ``None`` before an evaluation, and in reports that do not say."""
    chance: float | None = None
    """What a guess among equally likely classes would reach; ``None`` where that has no meaning."""

    @property
    def is_chance(self) -> bool:
        """Whether the value cannot be told from a guess's, or is below it, on rows enough to say so.

        >>> MetricValue(0.31, 450, (0.27, 0.36), chance=1 / 3).is_chance
        True
        """
        if self.chance is None or self.interval is None or self.n < _ROWS_FOR_CHANCE:
            return False
        return self.interval[0] <= self.chance


class MetricState(ABC):
    """What one metric accumulates over one evaluation."""

    @abstractmethod
    def update(self, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
        """Take in one batch: the post-processed output ``(batch, …)`` and the labels ``(batch, …)``.

        A state may keep both arrays. They are read-only for metrics of your own.
        """

    @abstractmethod
    def count_errors(self, rows: int) -> None:
        """Take in rows for which there is no prediction: they count as wrong where a metric knows wrong."""

    @abstractmethod
    def result(self) -> MetricValue:
        """The value over everything taken in."""

    def row_values(self) -> NDArray[Any] | None:
        """One number for each row taken in, shape ``(n,)``, in their order: the gate compares two models by them, row
        by row. ``None``, the default, where the metric is no mean of its rows' values: the gate then says that it did
        not compare it.
        """
        return None


class Metric(Component):
    """A kind of metric: ``metrics: [NAME, {metric: NAME, output: OUTPUT, …fields}]`` in a manifest."""

    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def start(self) -> MetricState:
        """A fresh accumulator."""

    def start_reading(self, holds: Holds | None) -> MetricState:
        """A fresh accumulator for an output of which the manifest or its steps say what it holds.

        By default that of :meth:`start`: only a metric that reads classes has to know.

        :param holds: ``None`` where neither says so.
        """
        return self.start()


class _MeanState(MetricState):
    def __init__(self, score: Callable[[NDArray[Any], NDArray[Any]], Any]) -> None:
        self._score = score
        self._total = 0.0
        self._n = 0
        self._rows: list[NDArray[Any]] = []

    def update(self, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
        scores = np.asarray(self._score(outputs, labels), dtype=np.float64)
        # A scalar, or a matrix, would sum up as well, to a number that means something else.
        if scores.shape != (len(labels),):
            raise ValueError(f"a per-sample metric must return shape ({len(labels)},), not {scores.shape}")
        self._total += float(scores.sum())
        # A copy: the score may be a view of what is written again.
        self._rows.append(np.array(scores))
        self._n += len(labels)

    def count_errors(self, rows: int) -> None:
        self._n += rows

    def result(self) -> MetricValue:
        return MetricValue(self._total / self._n if self._n else float("nan"), self._n)

    def row_values(self) -> NDArray[Any]:
        return np.concatenate([np.empty(0), *self._rows])


def per_sample_metric(
    name: str,
    score: Callable[[NDArray[Any], NDArray[Any]], Sequence[float] | NDArray[Any]],
    *,
    higher_is_better: bool = True,
) -> type[Metric]:
    """A metric that is the mean of ``score(outputs, labels)``, which returns one number a sample.

    >>> within = per_sample_metric("within_one", lambda outputs, labels: abs(outputs[:, 0] - labels) <= 1)
    >>> state = within().start()
    >>> state.update(np.array([[1.0], [5.0]]), np.array([2, 2]))
    >>> state.result().value
    0.5

    Rows without a prediction score 0.
    """

    class PerSampleMetric(Metric):
        def start(self) -> MetricState:
            return _MeanState(score)

    PerSampleMetric.name = name
    PerSampleMetric.higher_is_better = higher_is_better
    # Tracebacks and messages show the name that the author gave.
    PerSampleMetric.__name__ = PerSampleMetric.__qualname__ = name
    return PerSampleMetric
