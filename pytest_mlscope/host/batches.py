"""Prediction over a chunk of rows, batch by batch, without a word to the other process in between."""

import time
from typing import Any, Callable, Dict, List

import numpy

from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.predictor import Tensors


def _padded(array: numpy.ndarray, rows: int) -> numpy.ndarray:
    return numpy.concatenate([array, numpy.repeat(array[-1:], rows - len(array), axis=0)])


class _Outputs(object):
    """Outputs of successive batches, stacked in the outgoing arena."""

    def __init__(self, arena: Arena, rows: int) -> None:
        self._arena = arena
        self._rows = rows
        self._views: Dict[str, numpy.ndarray] = {}
        self.places: List[Dict[str, Any]] = []

    def store(self, outputs: Tensors, start: int, stop: int, predicted_rows: int) -> None:
        if not self._views:
            for name, array in outputs.items():
                if array.ndim == 0 or len(array) != predicted_rows:
                    raise ValueError(
                        "output {!r} has shape {}; its first dimension must be the batch of {}".format(
                            name, list(array.shape), predicted_rows
                        )
                    )
            self.places = self._arena.allocate(
                {name: (array.dtype, (self._rows,) + array.shape[1:]) for name, array in outputs.items()}
            )
            self._views = {place["name"]: self._arena.view(place) for place in self.places}
        for name, view in self._views.items():
            array = outputs[name]
            if array.shape != (predicted_rows,) + view.shape[1:]:
                raise ValueError(
                    "output {!r} has shape {} in this batch and {} in the first one".format(
                        name, list(array.shape), [predicted_rows] + list(view.shape[1:])
                    )
                )
            view[start:stop] = array[: stop - start]


def predict_batches(
    predict: Callable[[Tensors], Tensors],
    inputs: Tensors,
    batch_size: int,
    pad: bool,
    arena: Arena,
    error_message: Callable[[BaseException], str],
) -> Dict[str, Any]:
    """Predict all rows and leave the stacked outputs in the arena.

    A batch that fails is named in ``errors`` with its rows (``start``, ``stop``) and message; the others go on.

    :param pad: whether a last, shorter batch is filled up by repeating its last row; the surplus is dropped.
    """
    rows = len(next(iter(inputs.values())))
    outputs = _Outputs(arena, rows)
    errors: List[Dict[str, Any]] = []
    began = time.perf_counter()
    for start in range(0, rows, batch_size):
        stop = min(start + batch_size, rows)
        batch = {name: array[start:stop] for name, array in inputs.items()}
        predicted_rows = stop - start
        if pad and predicted_rows < batch_size:
            batch = {name: _padded(array, batch_size) for name, array in batch.items()}
            predicted_rows = batch_size
        try:
            outputs.store(predict(batch), start, stop, predicted_rows)
        except Exception as error:
            errors.append({"start": start, "stop": stop, "message": error_message(error)})
    return {"tensors": outputs.places, "errors": errors, "seconds": time.perf_counter() - began}
