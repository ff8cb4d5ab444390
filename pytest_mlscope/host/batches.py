"""Prediction over a chunk of rows, batch by batch, without a word to the other process in between."""

import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy

from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.predictor import Tensors
from pytest_mlscope.host.returned import check_outputs


def _padded(array: numpy.ndarray, rows: int) -> numpy.ndarray:
    return numpy.concatenate([array, numpy.repeat(array[-1:], rows - len(array), axis=0)])


class _Outputs(object):
    """Outputs of successive batches, stacked in the outgoing arena."""

    def __init__(self, arena: Arena, rows: int, batch_size: int) -> None:
        self._arena = arena
        self._rows = rows
        self._batch_size = batch_size
        self.places: List[Dict[str, Any]] = []
        self.slots: List[Tuple[str, Tuple[int, ...], numpy.dtype, numpy.ndarray]] = []
        """Name, shape of a whole batch, dtype, and the whole batches' places: an array ``(batches, batch_size, …)``."""

    def allocate(self, outputs: Tensors) -> None:
        """Make room, by the outputs of any batch.

        :raises WrongReturn: when these are no outputs.
        :raises ValueError: when one has no batch dimension.
        """
        check_outputs(outputs, "predict")
        predicted_rows = None
        for name, array in outputs.items():
            predicted_rows = len(array) if predicted_rows is None and array.ndim else predicted_rows
            if array.ndim == 0 or len(array) != predicted_rows:
                raise ValueError(
                    "output {!r} has shape {}; its first dimension must be the batch".format(name, list(array.shape))
                )
        self.places = self._arena.allocate(
            {name: (array.dtype, (self._rows,) + array.shape[1:]) for name, array in outputs.items()}
        )
        whole = self._rows // self._batch_size * self._batch_size
        for place in self.places:
            row_shape = tuple(place["shape"][1:])
            slots = self._arena.view(place)[:whole].reshape((-1, self._batch_size) + row_shape)
            dtype = outputs[place["name"]].dtype
            self.slots.append((place["name"], (self._batch_size,) + row_shape, dtype, slots))

    def mismatch(self, name: str, array: numpy.ndarray, expected: Tuple[int, ...], dtype: numpy.dtype) -> ValueError:
        """The error for an output of another shape or dtype than a batch's outputs have."""
        if array.shape == expected:
            return ValueError(
                "output {!r} has dtype {}; in an earlier batch it had {}".format(name, array.dtype, dtype)
            )
        return ValueError(
            "output {!r} has shape {}; its first dimension must be the batch, and the whole {}".format(
                name, list(array.shape), list(expected)
            )
        )

    def store_tail(self, outputs: Tensors, start: int, predicted_rows: int) -> None:
        """Keep the last, shorter batch; rows beyond the end were padding."""
        if not self.places:
            self.allocate(outputs)
        check_outputs(outputs, "predict", [place["name"] for place in self.places])
        for place in self.places:
            array = outputs[place["name"]]
            expected = (predicted_rows,) + tuple(place["shape"][1:])
            kept = self._arena.view(place)
            if array.shape != expected or array.dtype != kept.dtype:
                raise self.mismatch(place["name"], array, expected, kept.dtype)
            kept[start:] = array[: self._rows - start]

    def store(self, number: int, predicted: Tensors) -> None:
        """Keep a whole batch."""
        if not self.slots:
            self.allocate(predicted)
        for name, expected, dtype, slots in self.slots:
            array = predicted[name]
            # Identity first: it is cheaper, and dtypes are nearly always one object.
            if array.shape != expected or (array.dtype is not dtype and array.dtype != dtype):
                raise self.mismatch(name, array, expected, dtype)
            slots[number] = array

    def store_all(self, predictions: List[Any]) -> bool:
        """Keep all whole batches at once; false, and nothing certain kept, when one is not as it should be."""
        try:
            if not self.slots:
                self.allocate(predictions[0])
            for name, expected, _, slots in self.slots:
                arrays = [predicted[name] for predicted in predictions]
                if set(map(type, arrays)) != {numpy.ndarray} or set(map(len, arrays)) != {self._batch_size}:
                    return False
                numpy.concatenate(arrays, out=slots.reshape((-1,) + expected[1:]), casting="no")
        except Exception:
            # Batch by batch, each error finds its place.
            return False
        return True

    def reason(self, predicted: Any, error: Exception) -> Exception:
        """Why a batch failed: what ``predict`` returned for it, where that explains it better than the error."""
        try:
            check_outputs(predicted, "predict", [slot[0] for slot in self.slots])
        except Exception as better:
            return better
        return error


class _Failed(object):
    """Stands for the prediction of a batch that raised."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _batches(names: List[str], shaped: List[numpy.ndarray]) -> Iterator[Tensors]:
    if len(names) == 1:
        name = names[0]
        return ({name: array} for array in shaped[0])
    return (dict(zip(names, arrays)) for arrays in zip(*shaped))


def _collected(predict: Callable[[Tensors], Tensors], batches: Iterator[Tensors]) -> List[Any]:
    """What each batch's prediction returned; :class:`_Failed` where it raised."""
    predictions: List[Any] = []
    append = predictions.append
    ended = False
    while not ended:
        # Outside the loop over batches, a `try` costs them nothing; the iterator goes on where it was.
        try:
            for batch in batches:
                append(predict(batch))
            ended = True
        except Exception as error:
            append(_Failed(error))
    return predictions


def predict_batches(
    predict: Callable[[Tensors], Tensors],
    inputs: Tensors,
    batch_size: int,
    pad: bool,
    arena: Arena,
    error_message: Callable[[BaseException], str],
    returns_new_arrays: bool = False,
) -> Dict[str, Any]:
    """Predict all rows and leave the stacked outputs in the arena.

    A batch that fails is named in ``errors`` with its rows (``start``, ``stop``) and message; the others go on.

    :param pad: whether a last, shorter batch is filled up by repeating its last row; the surplus is dropped.
    :param returns_new_arrays: whether no later prediction overwrites what an earlier one returned
        (:attr:`~pytest_mlscope.host.predictor.LoadedModel.returns_new_arrays`).
    """
    names = list(inputs)
    rows = len(inputs[names[0]])
    outputs = _Outputs(arena, rows, batch_size)
    errors: List[Dict[str, Any]] = []
    whole = rows // batch_size * batch_size
    shaped = [array[:whole].reshape((-1, batch_size) + array.shape[1:]) for array in inputs.values()]

    def store(number: int, predicted: Any) -> None:
        try:
            if isinstance(predicted, _Failed):
                raise predicted.error
            outputs.store(number, predicted)
        except Exception as error:
            start = number * batch_size
            explained = error if isinstance(predicted, _Failed) else outputs.reason(predicted, error)
            errors.append({"start": start, "stop": start + batch_size, "message": error_message(explained)})

    began = time.perf_counter()
    # A small model predicts in microseconds, so that each thing done a batch counts: one walk over views made at once,
    # and one copy of all that was predicted, unless the predictor hands out one buffer again and again.
    if returns_new_arrays:
        predictions = _collected(predict, _batches(names, shaped))
        if predictions and not outputs.store_all(predictions):
            for number, predicted in enumerate(predictions):
                store(number, predicted)
    else:
        for number, batch in enumerate(_batches(names, shaped)):
            try:
                predicted = predict(batch)
            except Exception as error:
                predicted = _Failed(error)
            store(number, predicted)
    if whole < rows:
        tail = {name: array[whole:] for name, array in inputs.items()}
        predicted_rows = rows - whole
        if pad:
            tail = {name: _padded(array, batch_size) for name, array in tail.items()}
            predicted_rows = batch_size
        try:
            outputs.store_tail(predict(tail), whole, predicted_rows)
        except Exception as error:
            errors.append({"start": whole, "stop": rows, "message": error_message(error)})
    return {"tensors": outputs.places, "errors": errors, "seconds": time.perf_counter() - began}
