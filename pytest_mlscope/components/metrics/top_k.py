"""Top-k accuracy."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_mlscope.components.metrics.base import Metric, MetricState, MetricValue
from pytest_mlscope.components.parameters import Holds
from pytest_mlscope.errors import DatasetError, PreprocessingError
from pytest_mlscope.statistics import wilson_interval

# Up to here, copying the scores class by class pays for the faster sums below.
_FEW_CLASSES = 64
_ONE_SCORE = "; for two classes with one score, add the step threshold: `{step: threshold, at: 0.5}` for a probability"


def _cannot_rank(outputs: NDArray[Any]) -> bool:
    """Whether a row of integers has a number twice or one that is no class, as no ranking has.

    -1 stands for no class, and may be there more than once.
    """
    in_order = np.sort(outputs.reshape(len(outputs), -1), axis=1)
    twice = (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)
    return bool(twice.any() or (in_order < -1).any())


class TopKState(MetricState):
    """Counts the rows whose label is among the best ``k`` classes. A score that is not a number is never right.

    Integers of which nobody says what they hold are scores once a row cannot be a ranking: a quantised classifier gives
    such rows soon. Where each row can be either, there is no result.
    """

    def __init__(self, k: int, metric: str, holds: Holds | None = None) -> None:
        self._k = k
        self._metric = metric
        self._holds = holds
        self._may_rank: str | None = None
        """dtype of integers that can be either, so far."""
        self._right = 0
        self._n = 0
        self._classes = 0
        self._lowest: int | None = None
        self._rows: list[NDArray[np.bool_]] = []

    def update(self, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
        numbers = self._class_numbers(labels, len(outputs))
        if outputs.dtype.kind not in "iuf":
            raise self._error(f"needs class scores or class numbers, not {outputs.dtype}")
        if self._holds == "ranking" and outputs.dtype.kind == "f":
            raise self._error(
                f"the output is said to hold a ranking, but is {outputs.dtype}; class numbers are integers"
            )
        is_integer = outputs.dtype.kind in "iu"
        if self._holds == "ranking" or (is_integer and self._holds is None and outputs.size == len(outputs)):
            right = self._ranked(outputs, numbers)
        else:
            if is_integer and self._holds is None:
                self._look(outputs)
            right = self._scored(outputs, numbers)
        self._right += int(np.count_nonzero(right))
        self._n += len(numbers)
        # A byte a row, for the gate, which pairs the rows of two models.
        self._rows.append(right)

    def count_errors(self, rows: int) -> None:
        self._n += rows

    def _look(self, outputs: NDArray[Any]) -> None:
        """Take integers for scores once they can be nothing else."""
        if _cannot_rank(outputs):
            self._holds, self._may_rank = "scores", None
        else:
            self._may_rank = str(outputs.dtype)

    def result(self) -> MetricValue:
        if self._may_rank is not None:
            raise self._undeclared()
        if not self._n:
            return MetricValue(float("nan"), 0)
        chance = self._k / self._classes if self._classes > self._k else None
        return MetricValue(self._right / self._n, self._n, wilson_interval(self._right, self._n), chance=chance)

    def row_values(self) -> NDArray[Any]:
        """1.0 for a row that is right, 0.0 for another."""
        return np.concatenate([np.empty(0), *self._rows])

    def _ranked(self, classes: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
        ranked = classes.reshape(len(classes), -1)
        if ranked.shape[1] < self._k:
            raise self._error(f"needs {self._k} ranked classes a row, the output has {ranked.shape[1]}")
        if labels.size and labels.min() < 0:
            raise DatasetError(f"metric {self._metric!r}: class number {labels.min()} is a label")
        if _cannot_rank(ranked):
            raise self._error(
                f"an output of {ranked.dtype} is read as class numbers, best first, but a row has a number twice or a "
                "negative one; if they are scores, state `holds: scores` for the output"
            )
        if labels.size:
            # As many classes as are named on either side; of how many more a row could have been, nothing tells.
            self._classes = max(self._classes, int(labels.max()) + 1, int(ranked.max()) + 1)
        right: NDArray[np.bool_] = (ranked[:, : self._k] == labels[:, np.newaxis]).any(axis=1)
        return right

    def _scored(self, scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
        try:
            return self._among_best(scores, labels)
        except (DatasetError, PreprocessingError) as error:
            # That a ranking of five has no class 7 is no fault of the label.
            raise (self._undeclared() if self._may_rank is not None else error) from None

    def _undeclared(self) -> PreprocessingError:
        return self._error(
            f"the output's rows of several {self._may_rank} numbers can be scores or a ranking of class numbers; state "
            "`holds: scores` or `holds: ranking` for the output"
        )

    def _among_best(self, scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
        # Trailing dimensions of 1, as in (batch, classes, 1, 1), are common among older image classifiers.
        if scores.ndim < 2 or any(size != 1 for size in scores.shape[2:]):
            raise self._error(
                f"needs scores of shape (batch, classes), not {scores.shape}{_ONE_SCORE * (scores.ndim == 1)}"
            )
        scores = scores.reshape(len(scores), scores.shape[1])
        classes = self._classes = scores.shape[1]
        if classes == 1:
            raise self._error(f"needs a score for each class, the output has one a row{_ONE_SCORE}")
        self._check_labels(labels, classes)
        if self._k > classes:
            raise self._error(f"needs at least {self._k} classes, the output has {classes}")
        rows = np.arange(len(labels))
        own = scores[rows, labels]
        # By itself, since one argmax is less work than counting who is ahead.
        if self._k == 1:
            right: NDArray[np.bool_] = (scores.argmax(axis=1) == labels) & ~np.isnan(own)
            return right
        # Ranked as a stable sort would: of equal scores the lower class number comes first.
        # Classes go first, because numpy reduces many short rows slowly.
        by_class = np.ascontiguousarray(scores.T) if classes <= _FEW_CLASSES else scores.T
        # Not ">": a score that is NaN is ahead of every other.
        ahead = ~(by_class <= own)
        ahead |= (by_class == own) & (np.arange(classes)[:, np.newaxis] < labels)
        inside: NDArray[np.bool_] = (ahead.sum(axis=0, dtype=np.int32) < self._k) & ~np.isnan(own)
        return inside

    def _check_labels(self, labels: NDArray[Any], classes: int) -> None:
        if not len(labels):
            return
        lowest, highest = int(labels.min()), int(labels.max())
        self._lowest = min(lowest, lowest if self._lowest is None else self._lowest)
        if lowest >= 0 and highest < classes:
            return
        wrong = lowest if lowest < 0 else highest
        advice = ""
        if wrong == classes and self._lowest >= 1:
            shown = ["1", "2", "3"][:classes] if classes <= 3 else ["1", "…", str(classes)]
            names = ", ".join(f'"{name}"' if name != "…" else name for name in shown)
            advice = f"; if the labels count from 1, name the classes so: `labels: [{names}]` under the output"
        raise DatasetError(
            f"metric {self._metric!r}: class number {wrong} is a label, but the output has {classes} classes, 0 to "
            f"{classes - 1}{advice}"
        )

    def _class_numbers(self, labels: NDArray[Any], rows: int) -> NDArray[Any]:
        if labels.dtype.kind not in "iub":
            raise DatasetError(f"metric {self._metric!r}: labels must be class numbers or names, not {labels.dtype}")
        if labels.size != rows:
            raise DatasetError(f"metric {self._metric!r}: needs one label a row, the labels have shape {labels.shape}")
        return labels.reshape(rows).astype(np.int64, copy=False)

    def _error(self, message: str) -> PreprocessingError:
        return PreprocessingError(f"metric {self._metric!r}: {message}")


class TopK(Metric):
    """Share of rows whose label is among the ``k`` best classes, with the Wilson 95 % interval.

    A floating-point output holds class scores, shape ``(batch, classes)``; integers one a row are class numbers. What
    several integers a row are, the output's ``holds`` says: ``scores``, or ``ranking`` for class numbers, best first,
    shape ``(batch, k or more)``. Rows without a prediction count as wrong.
    """

    name: ClassVar[str] = "top_k"

    k: int = Field(gt=0, le=2**16)
    """How many classes may hold the label."""

    def start(self) -> MetricState:
        return TopKState(self.k, self.name)

    def start_reading(self, holds: Holds | None) -> MetricState:
        return TopKState(self.k, self.name, holds)


class Top1(Metric):
    """Share of rows whose label is the best class: ``top_k`` with ``k: 1``.

    >>> state = Top1().start()
    >>> state.update(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> state.result().value
    0.5
    """

    name: ClassVar[str] = "top1"

    def start(self) -> MetricState:
        return TopKState(1, self.name)

    def start_reading(self, holds: Holds | None) -> MetricState:
        return TopKState(1, self.name, holds)


class Top5(Metric):
    """Share of rows whose label is among the five best classes: ``top_k`` with ``k: 5``."""

    name: ClassVar[str] = "top5"

    def start(self) -> MetricState:
        return TopKState(5, self.name)

    def start_reading(self, holds: Holds | None) -> MetricState:
        return TopKState(5, self.name, holds)
