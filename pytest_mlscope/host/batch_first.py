"""A model whose tensors have the batch elsewhere, or none, behind the interface of one whose batch comes first."""

from typing import Dict, List, Optional

import numpy

from pytest_mlscope.host.predictor import Bound, Layer, LoadedModel, Tensors
from pytest_mlscope.host.returned import WrongReturn, check_bound, check_outputs

Places = Dict[str, Optional[int]]
"""Name to the dimension that is the batch, ``None`` for none. Of those not named it is the first."""


class BatchFirst(LoadedModel):
    """Moves the batch on the way in and out, so that all others need not know. Binding moves it once: what is timed is
    the model's own call.
    """

    def __init__(self, model: LoadedModel, inputs: Places, outputs: Places) -> None:
        self._model = model
        self._inputs = inputs
        self._outputs = outputs
        self.resolved = model.resolved
        self.returns_new_arrays = model.returns_new_arrays

    def predict(self, inputs: Tensors) -> Tensors:
        """Raises WrongReturn where rows differ in what a batch has one of, and for an output without its batch."""
        outputs = self._model.predict(self._inward(inputs))
        check_outputs(outputs, "predict")
        return self._outward(outputs, _rows(inputs))

    def bind(self, inputs: Tensors) -> Bound:
        """As :meth:`predict`."""
        bound = self._model.bind(self._inward(inputs))
        check_bound(bound)

        def outputs() -> Tensors:
            tensors = bound.outputs()
            check_outputs(tensors, "Bound.outputs")
            return self._outward(tensors, _rows(inputs))

        return Bound(bound.run, outputs, bound.call_path)

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """As the model's."""
        return self._model.layers(self._inward(inputs), runs)

    def unload(self) -> None:
        """As the model's."""
        self._model.unload()

    def _inward(self, inputs: Tensors) -> Tensors:
        moved = dict(inputs)
        for name, place in self._inputs.items():
            rows = inputs[name]
            if place is not None:
                # Predictors are promised contiguous arrays.
                moved[name] = numpy.ascontiguousarray(numpy.moveaxis(rows, 0, place))
                continue
            # To the byte: NaN is not equal to itself, and still the same input.
            if any(row.tobytes() != rows[0].tobytes() for row in rows[1:]):
                raise WrongReturn(
                    "input {!r} has no batch, but rows of one batch differ in it; use batch size 1".format(name)
                )
            # An array, too, where a row is a single number, of which indexing alone makes a scalar.
            moved[name] = numpy.array(rows[0])
        return moved

    def _outward(self, outputs: Tensors, rows: int) -> Tensors:
        moved = dict(outputs)
        for name, place in self._outputs.items():
            if name not in outputs:
                continue
            array = numpy.asarray(outputs[name])
            if place is None:
                # One output for several rows would have to be given to each of them.
                if rows != 1:
                    raise WrongReturn(
                        "output {!r} has no batch, and the call had {} rows; use batch size 1".format(name, rows)
                    )
                moved[name] = array[numpy.newaxis]
            elif array.ndim <= place or array.shape[place] != rows:
                raise WrongReturn(
                    "output {!r} has shape {}, of which dimension {} should be the batch of {}; state its `batch` in "
                    "the manifest".format(name, list(array.shape), place, rows)
                )
            else:
                moved[name] = numpy.moveaxis(array, place, 0)
        return moved


def _rows(inputs: Tensors) -> int:
    return len(next(iter(inputs.values())))
