"""A per-layer profile: what a predictor's own profiler tells, checked, beside what prediction takes unprofiled."""

import math
import time
from typing import Any, Dict, List

import numpy

from pytest_mlscope.host.predictor import Layer, LoadedModel, Tensors
from pytest_mlscope.host.returned import WrongReturn, check_bound, what_it_is

_MUST = "it must return a list of Layer"
_WARMUP_CALLS = 3


def _whole(value: Any) -> bool:
    # In Python, True is an int.
    return isinstance(value, (int, numpy.integer)) and not isinstance(value, bool)


def _fault(layer: Layer) -> str:
    """What is wrong with one layer; empty when nothing is."""
    if not isinstance(layer.name, str) or not layer.name.strip():
        return "its name is {!r}; it must be text".format(layer.name)
    if not isinstance(layer.kind, str) or not layer.kind.strip():
        return "its kind is {!r}; it must be text".format(layer.kind)
    seconds = layer.seconds
    if seconds is not None:
        number = isinstance(seconds, (int, float, numpy.number)) and not isinstance(seconds, bool)
        if not number or not math.isfinite(seconds) or seconds <= 0:
            return "its seconds are {!r}; they must be a positive number, or None where unknown".format(seconds)
    shape = layer.shape
    if shape is not None and not (
        isinstance(shape, (list, tuple)) and all(_whole(size) and size >= 0 for size in shape)
    ):
        return "its shape is {!r}; it must be a list of whole numbers, or None where unknown".format(shape)
    if layer.memory is not None and not (_whole(layer.memory) and layer.memory >= 0):
        return "its memory is {!r}; it must be a whole number of bytes, or None where unknown".format(layer.memory)
    return ""


def described(layers: Any) -> List[Dict[str, Any]]:
    """The layers as they go into a reply.

    :raises WrongReturn: when they are not what :meth:`LoadedModel.layers` promises.
    """
    if not isinstance(layers, (list, tuple)):
        raise WrongReturn("the predictor's layers returned {}; {}".format(what_it_is(layers), _MUST))
    if not layers:
        raise WrongReturn("the predictor's layers returned no layer; {}".format(_MUST))
    entries = []
    for place, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise WrongReturn(
                "the predictor's layers returned {} as layer {}; {}".format(what_it_is(layer), place, _MUST)
            )
        fault = _fault(layer)
        if fault:
            raise WrongReturn("the predictor's layers returned layer {}: {}".format(place, fault))
        # Builtin types: a predictor may give numpy's, which JSON cannot write.
        entries.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "seconds": None if layer.seconds is None else float(layer.seconds),
                "shape": None if layer.shape is None else [int(size) for size in layer.shape],
                "memory": None if layer.memory is None else int(layer.memory),
            }
        )
    return entries


def profile_layers(model: LoadedModel, inputs: Tensors, runs: int) -> Dict[str, Any]:
    """Time some predictions of one batch unprofiled, then profile as many.

    :return: ``layers``, and ``unprofiled_median``: seconds a call of the path that latency is measured on.
    :raises Unsupported: when there is no profile.
    :raises WrongReturn: when the predictor's answer is malformed.
    """
    bound = model.bind(inputs)
    check_bound(bound)
    for _ in range(_WARMUP_CALLS):
        bound.run()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        bound.run()
        times.append(time.perf_counter() - began)
    # What is bound holds memory that the profile would count.
    del bound
    return {"layers": described(model.layers(inputs, runs)), "unprofiled_median": float(numpy.median(times))}
