"""Accuracy: a model's metrics over a dataset, with everything that did not work counted."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import STATED
from pytest_mlscope.components import SHIPPED_METRICS, SHIPPED_POSTPROCESSING_STEPS, Argmax, Holds, MetricState
from pytest_mlscope.errors import HostError, MlscopeError, PreprocessingError
from pytest_mlscope.hosts import DEPTH, Prediction, ReadyModel
from pytest_mlscope.manifest import BoundMetric
from pytest_mlscope.measurements.accuracy.result import KEPT_ROW_ELEMENTS, Accuracy, FailedRows, Predictions
from pytest_mlscope.measurements.rows.deadline import within
from pytest_mlscope.measurements.rows.input_shift import input_shift
from pytest_mlscope.measurements.rows.inputs import BatchReader, PreparedBatch
from pytest_mlscope.measurements.rows.manifest_errors import naming

_OUTPUT_BYTES = 64 * 2**20
"""About how large the outputs of one message may be: a model's outputs may be thousands of times its inputs."""


def _told(error: Exception, bound: BoundMetric) -> str:
    """What a metric raised, on one line, with its place where the code is not ours."""
    text = " ".join(str(error).split())
    if isinstance(bound.metric, SHIPPED_METRICS):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({type(error).__name__}, {Path(frame.filename).name}:{frame.lineno})"


def _predicted(outputs: NDArray[Any], holds: Holds | None) -> NDArray[Any]:
    if outputs.dtype.kind in "iu":
        # Integers of several a row are a quantised model's scores, unless the manifest calls them a ranking.
        if holds != "ranking" and outputs.size > len(outputs):
            best: NDArray[Any] = outputs.reshape(len(outputs), -1).argmax(axis=1)
            return best
        return outputs if outputs.ndim == 1 else outputs[:, 0]
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.dtype.kind not in "bf":
        return outputs
    # Unlike numpy, it gives a row with NaN no class.
    return Argmax(axis=1).apply_batch(outputs)


def _read_only_copy(values: NDArray[Any]) -> NDArray[Any]:
    copy = np.array(values)
    copy.flags.writeable = False
    return copy


def _check_classes(output: str, classes: NDArray[Any], count: int, holds: Holds | None) -> None:
    """:raises PreprocessingError: for class numbers that are none of the ``count`` classes."""
    # Scores have as many columns as there are classes, and any value.
    are_numbers = holds == "ranking" or (holds is None and classes.size == len(classes))
    if classes.dtype.kind not in "iu" or not are_numbers or not classes.size:
        return
    # A row whose scores are not numbers has the class number -1.
    wrong = classes[(classes < -1) | (classes >= count)]
    if wrong.size:
        raise PreprocessingError(
            f"output {output!r}: class number {wrong.flat[0]} is none of the {count} classes that `labels` names"
        )


def _kept(values: NDArray[Any]) -> NDArray[Any]:
    """A copy, since arenas are written again by later replies; of rows too large to keep, an array ``(n, 0)``."""
    if values.size > len(values) * KEPT_ROW_ELEMENTS:
        return np.empty((len(values), 0), values.dtype)
    return np.array(values)


def _not_a_number(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "fc" and bool(values.size) and bool(np.isnan(values).all())


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows of all parts; of rows of different shapes, an array ``(n, 0)``."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return np.empty((sum(map(len, parts)), 0), parts[0].dtype)


class _Scores:
    """Metric states and predictions, fed chunk by chunk."""

    def __init__(self, ready: ReadyModel) -> None:
        self._manifest = ready.plan.manifest
        self._states: list[tuple[BoundMetric, MetricState]] = [
            (bound, bound.start()) for bound in self._manifest.metrics
        ]
        self._holds = {bound.output: bound.holds for bound in self._manifest.metrics}
        self._outputs = sorted(self._holds)
        # Shipped steps and metrics keep no array, so their inputs need no copy.
        self._copied = {
            name
            for name in self._outputs
            if not all(isinstance(step, SHIPPED_POSTPROCESSING_STEPS) for step in self._manifest.postprocessing[name])
            or not all(isinstance(each.metric, SHIPPED_METRICS) for each, _ in self._states if each.output == name)
        }
        # Watched for the whole dataset: a single row of NaN is counted wrong, and no reason to give up.
        self._only_nan = set(self._outputs)
        self._rows: list[NDArray[np.int64]] = []
        self._labels: list[NDArray[Any]] = []
        self._predicted: list[NDArray[Any]] = []
        self.failures: list[FailedRows] = []
        self.n = 0

    def failed(self, rows: NDArray[np.int64], message: str) -> None:
        self.failures.append(FailedRows(tuple(int(row) for row in rows), message))

    def take(self, prepared: PreparedBatch, prediction: Prediction) -> None:
        for error in prediction.errors:
            # The host counts rows within its request; reports name those of the dataset.
            self.failed(prepared.rows[error.start : error.stop], error.message)
        for part in prediction.parts:
            labels = {column: values[part.rows] for column, values in prepared.labels.items()}
            self._score(prepared.rows[part.rows], labels, part.outputs)

    def _score(
        self, rows: NDArray[np.int64], labels: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        processed = {}
        for name in self._outputs:
            # An output is a view of an arena that later replies write again; what others may keep is a copy.
            array = np.array(outputs[name]) if name in self._copied else outputs[name]
            if name in self._only_nan and not _not_a_number(array):
                self._only_nan.remove(name)
            for step in self._manifest.postprocessing[name]:
                array = step.apply_batch(array)
            if name in self._copied:
                # Several metrics read one array: none may change it for the next.
                array = array.view()
                array.flags.writeable = False
            processed[name] = array
            names = self._manifest.labels.get(name)
            if names is not None:
                _check_classes(name, array, len(names), self._holds[name])
        given = {column: _read_only_copy(values) if self._copied else values for column, values in labels.items()}
        for bound, state in self._states:
            try:
                state.update(processed[bound.output], given[bound.label])
            # What metrics raise of data that they cannot read; the shapes of both mostly tell why.
            except (ValueError, TypeError, IndexError) as error:
                raise MlscopeError(
                    f"{self._manifest.path}: metric {bound.name}: {_told(error, bound)}; output "
                    f"{bound.output!r} has shape {list(processed[bound.output].shape)}, the labels "
                    f"{list(labels[bound.label].shape)}"
                ) from None
        first = self._manifest.metrics[0]
        self._rows.append(rows)
        # Of the first metric alone: a row has one prediction and one truth that are kept.
        self._labels.append(_kept(labels[first.label]))
        self._predicted.append(_kept(_predicted(processed[first.output], first.holds)))

    def predictions(self) -> Predictions:
        if not self._rows:
            empty = np.empty(0, dtype=np.int64)
            return Predictions(empty, empty, empty)
        return Predictions(np.concatenate(self._rows), _joined(self._labels), _joined(self._predicted))

    def finish(self, seconds: float) -> Accuracy:
        errors = sum(len(failure.rows) for failure in self.failures)
        if errors == self.n:
            # Before any metric is asked for a value: a mean over no rows would hide that there are none.
            return Accuracy(
                metrics={},
                n=self.n,
                errors=errors,
                failures=tuple(self.failures),
                predictions=self.predictions(),
                seconds=seconds,
            )
        if self._only_nan:
            raise MlscopeError(
                f"{self._manifest.path}: output {min(self._only_nan)!r}: the model gave NaN for every "
                "value of every row"
            )
        metrics = {}
        for bound, state in self._states:
            if errors:
                state.count_errors(errors)
            metrics[bound.name] = replace(state.result(), higher_is_better=bound.metric.higher_is_better)
        return Accuracy(
            metrics=metrics,
            n=self.n,
            errors=errors,
            failures=tuple(self.failures),
            predictions=self.predictions(),
            seconds=seconds,
            row_values=self._row_values(),
        )

    def _row_values(self) -> dict[str, NDArray[Any]]:
        """Of metrics that have one for each row; a conftest's may have none, or as many as it likes."""
        taken = sum(map(len, self._rows))
        found = {}
        for bound, state in self._states:
            # A plugin's state may have no such method: it need not extend the class.
            values = state.row_values() if isinstance(state, MetricState) else None
            if values is not None and np.shape(values) == (taken,):
                found[bound.name] = np.asarray(values, dtype=np.float64)
        return found


def _rows_within(limit: int, outputs: Mapping[str, NDArray[Any]], batch_size: int) -> int:
    """How many rows, in whole batches, have outputs of about that many bytes; one batch at least."""
    row_bytes = sum(array.nbytes // max(len(array), 1) for array in outputs.values())
    return max(limit // max(row_bytes, 1) // batch_size, 1) * batch_size


def _pieces(prepared: PreparedBatch, rows: int | None) -> Iterator[PreparedBatch]:
    if rows is None or len(prepared.rows) <= rows:
        yield prepared
        return
    for start in range(0, len(prepared.rows), rows):
        part = slice(start, start + rows)
        inputs = {name: array[part] for name, array in prepared.inputs.items()}
        labels = {column: values[part] for column, values in prepared.labels.items()}
        # Without the failures, which were counted with the whole.
        yield PreparedBatch(prepared.rows[part], inputs, labels, [])


def measure_accuracy(ready: ReadyModel) -> Accuracy:
    """Predict every row of the dataset and score it; reading and pre-processing overlap prediction.

    :raises DatasetError: when the dataset cannot be read.
    :raises HostError: when the host died, or no row at all could be predicted.
    :raises MlscopeError: when a metric cannot read what the model gives.
    """
    plan = ready.plan
    manifest = plan.manifest
    scores = _Scores(ready)
    waiting: deque[PreparedBatch] = deque()

    rows_at_once: int | None = None

    def receive() -> None:
        nonlocal rows_at_once
        prepared = waiting.popleft()
        prediction = ready.receive_predict(len(prepared.rows))
        # Of the first reply alone: outputs of one model are about as large for every row.
        if prediction.parts and rows_at_once is None:
            rows_at_once = _rows_within(_OUTPUT_BYTES, prediction.parts[0].outputs, plan.case.batch_size)
        with naming(manifest):
            scores.take(prepared, prediction)

    began = None
    with BatchReader(
        manifest,
        preprocessing=plan.case.preprocessing,
        batch_rows=plan.case.batch_size,
        whole_chunks=True,
        one_by_one=plan.case.batch_size == 1,
        deadline=ready.deadline,
    ) as reader:
        for prepared in reader:
            scores.n += len(prepared.rows) + sum(len(failure.rows) for failure in prepared.failed)
            scores.failures.extend(prepared.failed)
            if not len(prepared.rows):
                continue
            for piece in _pieces(prepared, rows_at_once):
                # How large outputs are is known only once there is one.
                if len(waiting) == (DEPTH if rows_at_once else 1):
                    receive()
                # The model is not to blame for the time that opening the dataset takes.
                began = began or time.perf_counter()
                ready.submit_predict(piece.inputs)
                waiting.append(piece)
        while waiting:
            receive()
        # Inside: closing the dataset is no part of it.
        seconds = time.perf_counter() - began if began else 0.0
    with naming(manifest):
        accuracy = scores.finish(seconds)
    if accuracy.errors == accuracy.n:
        raise HostError(
            f"{ready.host.name}: none of the {accuracy.n:,} rows has a prediction: {accuracy.failures[0].message}",
            output=ready.host.output(),
        )
    return accuracy


def with_input_shift(accuracy: Accuracy, ready: ReadyModel) -> Accuracy:
    """Add how far the case's pre-processing variant moves the inputs from the stated recipe."""
    if ready.case.preprocessing == STATED:
        return accuracy
    manifest, variant = ready.plan.manifest, ready.case.preprocessing
    shift = within(ready.deadline, str(manifest.path), lambda: input_shift(manifest, variant))
    return replace(accuracy, input_shift=shift)
