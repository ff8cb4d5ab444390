"""Prediction over a chunk of rows, batch by batch, without a word to the other process in between."""

import operator
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

import numpy

from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.predictor import Tensors
from pytest_mlscope.host.returned import check_outputs, check_rows


def _padded(array: numpy.ndarray, rows: int) -> numpy.ndarray:
    return numpy.concatenate([array, numpy.repeat(array[-1:], rows - len(array), axis=0)])


class _OtherShape(Exception):
    """A row's output has another shape than an earlier row's."""


def _other_dtype(name: str, array: numpy.ndarray, dtype: numpy.dtype) -> ValueError:
    return ValueError("output {!r} has dtype {}; in an earlier batch it had {}".format(name, array.dtype, dtype))


class _Outputs(object):
    """Outputs of successive batches, stacked in the outgoing arena."""

    def __init__(self, arena: Arena, rows: int, batch_size: int) -> None:
        self._arena = arena
        self._rows = rows
        self._batch_size = batch_size
        self.places: List[Dict[str, Any]] = []
        self.slots: List[Tuple[str, Tuple[int, ...], numpy.dtype, numpy.ndarray]] = []
        """Name, shape of a whole batch, dtype, and the whole batches' places: an array ``(batches, batch_size, …)``."""
        self.pick: Callable[[Any], Any] = lambda predicted: ()
        """Of what ``predict`` returned, the output in the slot, or a tuple of those in the slots."""

    def allocate(self, outputs: Tensors, rows: int) -> None:
        """Make room, by the outputs of any batch, of so many rows.

        :raises WrongReturn: when these are no outputs, or one has another number of rows.
        """
        check_outputs(outputs, "predict")
        check_rows(outputs, rows)
        self.places = self._arena.allocate(
            {name: (array.dtype, (self._rows,) + array.shape[1:]) for name, array in outputs.items()}
        )
        batches = self._rows // self._batch_size
        for place in self.places:
            row_shape = tuple(place["shape"][1:])
            # With -1 for their number, rows without an element could not be told apart.
            kept = self._arena.view(place)[: batches * self._batch_size]
            slots = kept.reshape((batches, self._batch_size) + row_shape)
            dtype = outputs[place["name"]].dtype
            self.slots.append((place["name"], (self._batch_size,) + row_shape, dtype, slots))
        if self.slots:
            self.pick = operator.itemgetter(*[slot[0] for slot in self.slots])

    def mismatch(self, name: str, array: numpy.ndarray, expected: Tuple[int, ...], dtype: numpy.dtype) -> Exception:
        """The error for an output of another shape or dtype than a batch's outputs have."""
        if array.shape == expected:
            return _other_dtype(name, array, dtype)
        if self._batch_size == 1 and array.ndim and len(array) == 1:
            return _OtherShape()
        return ValueError(
            "output {!r} has shape {}; its first dimension must be the batch, and the whole {}".format(
                name, list(array.shape), list(expected)
            )
        )

    def store_tail(self, outputs: Tensors, start: int, predicted_rows: int) -> None:
        """Keep the last, shorter batch; rows beyond the end were padding."""
        if not self.places:
            self.allocate(outputs, predicted_rows)
        check_outputs(outputs, "predict", [place["name"] for place in self.places])
        for place in self.places:
            array = outputs[place["name"]]
            expected = (predicted_rows,) + tuple(place["shape"][1:])
            kept = self._arena.view(place)
            if array.shape != expected or array.dtype != kept.dtype:
                raise self.mismatch(place["name"], array, expected, kept.dtype)
            kept[start:] = array[: self._rows - start]

    def store(self, number: int, predicted: Any) -> None:
        """Keep what ``predict`` returned for a whole batch."""
        if not self.slots:
            self.allocate(predicted, self._batch_size)
        try:
            picked = self.pick(predicted)
        except Exception as error:
            raise self.reason(predicted, error) from None
        self.store_picked(number, picked)

    def store_picked(self, number: int, picked: Any) -> None:
        """Keep what :attr:`pick` gave of a whole batch."""
        arrays = (picked,) if len(self.slots) == 1 else picked
        try:
            for (name, expected, dtype, slots), array in zip(self.slots, arrays):
                # Identity first: it is cheaper, and dtypes are nearly always one object.
                if array.shape != expected or (array.dtype is not dtype and array.dtype != dtype):
                    raise self.mismatch(name, array, expected, dtype)
                slots[number] = array
        except Exception as error:
            raise self.reason({slot[0]: array for slot, array in zip(self.slots, arrays)}, error) from None

    def store_all(self, first: int, picked: List[Any]) -> bool:
        """Keep successive whole batches at once; false, and nothing certain kept, when one is not as it should be."""
        try:
            columns = [picked] if len(self.slots) == 1 else list(zip(*picked))
            for (_, expected, _, slots), arrays in zip(self.slots, columns):
                # Each by itself: a batch with too many rows and one with too few would fit together.
                if set(map(type, arrays)) != {numpy.ndarray} or set(map(len, arrays)) != {self._batch_size}:
                    return False
                rows = slots[first : first + len(arrays)].reshape((len(arrays) * self._batch_size,) + expected[1:])
                # Else numpy would convert another dtype in silence.
                numpy.concatenate(arrays, out=rows, casting="no")
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
    """Stands for the outputs of a batch that has none."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _batches(names: List[str], shaped: List[numpy.ndarray]) -> Iterator[Tensors]:
    if len(names) == 1:
        name = names[0]
        return ({name: array} for array in shaped[0])
    return (dict(zip(names, arrays)) for arrays in zip(*shaped))


def _collected(predict: Callable[[Tensors], Any], batches: Iterable[Tensors], outputs: _Outputs) -> List[Any]:
    """What :attr:`_Outputs.pick` gives of each batch's prediction; :class:`_Failed` where there is none."""
    collected: List[Any] = []
    append = collected.append
    pick = outputs.pick
    unpredicted = object()
    ended = False
    while not ended:
        # Outside the loop over batches, a `try` costs them nothing; the iterator goes on where it was.
        try:
            for batch in batches:
                predicted = unpredicted
                predicted = predict(batch)
                append(pick(predicted))
            ended = True
        except Exception as error:
            append(_Failed(error if predicted is unpredicted else outputs.reason(predicted, error)))
    return collected


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

    A batch that fails is named in ``errors`` with its rows (``start``, ``stop``) and message; the others go on. Where
    rows predicted one by one have outputs of different shapes, ``parts`` has the rows (start, stop) of those that could
    be stacked, and ``I:NAME`` is an output of part I.

    :param pad: whether a last, shorter batch is filled up by repeating its last row; the surplus is dropped.
    :param returns_new_arrays: whether no later prediction overwrites what an earlier one returned
        (:attr:`~pytest_mlscope.host.predictor.LoadedModel.returns_new_arrays`).
    """
    began = time.perf_counter()
    try:
        reply = _stacked(predict, inputs, batch_size, pad, arena, error_message, returns_new_arrays)
    except _OtherShape:
        # Rare, so that the rows are predicted once more rather than every row kept apart.
        reply = _in_parts(predict, inputs, arena, error_message)
    reply["seconds"] = time.perf_counter() - began
    return reply


def _stacked(
    predict: Callable[[Tensors], Tensors],
    inputs: Tensors,
    batch_size: int,
    pad: bool,
    arena: Arena,
    error_message: Callable[[BaseException], str],
    returns_new_arrays: bool,
) -> Dict[str, Any]:
    names = list(inputs)
    rows = len(inputs[names[0]])
    outputs = _Outputs(arena, rows, batch_size)
    errors: List[Dict[str, Any]] = []
    whole = rows // batch_size * batch_size
    shaped = [array[:whole].reshape((whole // batch_size, batch_size) + array.shape[1:]) for array in inputs.values()]

    def failed(number: int, error: Exception) -> None:
        start = number * batch_size
        errors.append({"start": start, "stop": start + batch_size, "message": error_message(error)})

    batches = _batches(names, shaped)
    for number, batch in enumerate(batches):
        try:
            outputs.store(number, predict(batch))
        except _OtherShape:
            raise
        except Exception as error:
            failed(number, error)
        if returns_new_arrays and outputs.slots:
            # A small model predicts in microseconds, so that each thing done a batch counts: one walk over views made
            # at once, of which nothing but the outputs stays, and one copy of all of those.
            first = number + 1
            collected = _collected(predict, batches, outputs)
            if collected and not outputs.store_all(first, collected):
                for later, picked in enumerate(collected, first):
                    try:
                        if isinstance(picked, _Failed):
                            raise picked.error
                        outputs.store_picked(later, picked)
                    except _OtherShape:
                        raise
                    except Exception as error:
                        failed(later, error)
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
    return {"tensors": outputs.places, "errors": errors}


def _in_parts(
    predict: Callable[[Tensors], Tensors],
    inputs: Tensors,
    arena: Arena,
    error_message: Callable[[BaseException], str],
) -> Dict[str, Any]:
    """Predict rows one by one, and stack neighbours whose outputs have the same shapes."""
    parts: List[Tuple[int, List[Tensors]]] = []
    errors: List[Dict[str, Any]] = []
    dtypes: Dict[str, numpy.dtype] = {}
    shapes: Any = None
    for row in range(len(next(iter(inputs.values())))):
        try:
            outputs = predict({name: array[row : row + 1] for name, array in inputs.items()})
            check_outputs(outputs, "predict", dtypes)
            check_rows(outputs, 1)
            dtypes = dtypes or {name: array.dtype for name, array in outputs.items()}
            # What an earlier row did not have has no place.
            kept = {name: numpy.array(outputs[name]) for name in dtypes}
            for name, array in kept.items():
                if array.dtype != dtypes[name]:
                    raise _other_dtype(name, array, dtypes[name])
        except Exception as error:
            errors.append({"start": row, "stop": row + 1, "message": error_message(error)})
            shapes = None
            continue
        latest = {name: array.shape for name, array in kept.items()}
        if latest != shapes:
            parts.append((row, []))
            shapes = latest
        parts[-1][1].append(kept)
    tensors = {
        "{}:{}".format(number, name): numpy.concatenate([each[name] for each in kept])
        for number, (_, kept) in enumerate(parts)
        for name in dtypes
    }
    places = [[start, start + len(kept)] for start, kept in parts]
    return {"tensors": arena.write(tensors), "errors": errors, "parts": places}
