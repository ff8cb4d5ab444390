"""A measured window: bind, warm up, time, and check that what was timed did predict."""

from typing import Any, Callable, Dict, List, Union

import numpy

from pytest_mlscope.host import memory
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.measure import measure
from pytest_mlscope.host.predictor import Bound, LoadedModel, Tensors
from pytest_mlscope.host.returned import check_bound, check_outputs, check_rows
from pytest_mlscope.host.sensors import clock_step


class BoundQueue(object):
    """All batches of the inputs, bound, run one after the other."""

    def __init__(
        self, model: LoadedModel, inputs: Union[Tensors, List[Tensors]], batch_size: int, pad: bool = False
    ) -> None:
        """Predict the first batch plainly, forget memory's peak so far, and bind.

        :param inputs: rows to be cut into batches, or batches.
        :param pad: fill a short last batch up with its last row.
        """
        batches = inputs if isinstance(inputs, list) else _cut(inputs, batch_size, pad)
        given = inputs if isinstance(inputs, list) else [inputs]
        self.rows = sum(len(next(iter(rows.values()))) for rows in given)
        self._predict: Callable[[], Tensors] = lambda: model.predict(batches[0])
        outputs = self._predict()
        check_outputs(outputs, "predict")
        # What cannot be read row by row is refused here as in a prediction: its time would be of something else.
        check_rows(outputs, len(next(iter(batches[0].values()))))
        # Copies: binding, or the next prediction, may use the same memory.
        self._predicted = {name: numpy.array(array) for name, array in outputs.items()}
        self.memory_was_reset = memory.reset_peak()
        self._bounds: List[Bound] = [model.bind(batch) for batch in batches]
        for bound in self._bounds:
            check_bound(bound)
        runs = [bound.run for bound in self._bounds]
        # A single batch is called without the loop, whose own cost would be timed with it.
        self.run = runs[0] if len(runs) == 1 else _in_turn(runs)
        self.call_path = self._bounds[0].call_path

    def outputs(self) -> Tensors:
        """Of the first batch, the outputs of the timed path (``bound:NAME``) and of plain prediction
        (``predicted:NAME``), to be compared; to be called after :attr:`run`. Where they are not equal to the bit, those
        of one more plain prediction (``again:NAME``): a model may differ from itself."""
        # Binding several batches may share buffers; only a run of the first one alone is sure to be its own.
        if len(self._bounds) > 1:
            self._bounds[0].run()
        timed = self._bounds[0].outputs()
        check_outputs(timed, "Bound.outputs", self._predicted)
        tensors = {"bound:" + name: numpy.asarray(array) for name, array in timed.items()}
        tensors.update({"predicted:" + name: array for name, array in self._predicted.items()})
        if any(not _same(tensors["bound:" + name], array) for name, array in self._predicted.items()):
            again = self._predict()
            check_outputs(again, "predict", self._predicted)
            tensors.update({"again:" + name: numpy.array(array) for name, array in again.items()})
        return tensors


def _same(one: numpy.ndarray, other: numpy.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _cut(inputs: Tensors, batch_size: int, pad: bool) -> List[Tensors]:
    return [
        {name: _batch(array, start, batch_size, pad) for name, array in inputs.items()}
        for start in range(0, len(next(iter(inputs.values()))), batch_size)
    ]


def _batch(array: numpy.ndarray, start: int, batch_size: int, pad: bool) -> numpy.ndarray:
    batch = array[start : start + batch_size]
    if pad and len(batch) < batch_size:
        batch = numpy.concatenate([batch, numpy.repeat(batch[-1:], batch_size - len(batch), axis=0)])
    # Promised to predictors, which would otherwise copy inside the timed loop.
    return numpy.ascontiguousarray(batch)


def _in_turn(runs: List[Callable[[], Any]]) -> Callable[[], None]:
    def run() -> None:
        for predict in runs:
            predict()

    return run


def measure_window(
    model: LoadedModel, inputs: Union[Tensors, List[Tensors]], request: Dict[str, Any], arena: Arena
) -> Dict[str, Any]:
    """Time one case.

    ``single_stream``: each sample is one batch. ``multi_stream`` and ``offline``: each sample is one pass over all the
    batches of a query or a queue, bound beforehand. The reply holds the samples (``samples_ns``, int64) and
    :meth:`BoundQueue.outputs`.
    """
    queue = BoundQueue(model, inputs, request["batch_size"], request.get("pad", False))
    measured = measure(
        queue.run,
        budget=request["budget"],
        relative_error=request["relative_error"],
        warmup_budget=request["warmup_budget"],
        highest_percentile=request.get("highest_percentile", 99.0),
    )
    # Before the outputs are asked for, since that may predict once more.
    peak = memory.peak_bytes()
    tensors = {"samples_ns": numpy.asarray(measured.samples, dtype=numpy.int64)}
    tensors.update(queue.outputs())
    return {
        "tensors": arena.write(tensors),
        "call_path": queue.call_path,
        "warmup_calls": int(measured.warmup_calls),
        "warmup_seconds": float(measured.warmup_seconds),
        "warmup_reason": str(measured.warmup_reason),
        "window_seconds": float(measured.window_seconds),
        "relative_error": measured.relative_error,
        "stop_reason": str(measured.stop_reason),
        "peak_memory": peak,
        "peak_memory_since": "window" if queue.memory_was_reset else "start",
        "rows_per_sample": queue.rows,
        "sensors": measured.sensors,
        "clock_step": clock_step(),
    }
