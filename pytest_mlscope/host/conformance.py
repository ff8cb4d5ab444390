"""Facts about a loaded model that only its own process can see, for ``mlscope framework check``."""

import os
import time
from typing import Any, Callable, Dict, List, Optional

import numpy

from pytest_mlscope.host.predictor import LoadedModel, Tensors
from pytest_mlscope.host.returned import check_bound, check_outputs

_KEPT_PREDICTIONS = 16
# Parity's default at fp32.
_TOLERANCE = 1e-4


def _copied(arrays: Tensors) -> Tensors:
    return {name: numpy.array(array) for name, array in arrays.items()}


def _same(first: numpy.ndarray, second: numpy.ndarray) -> bool:
    return first.shape == second.shape and first.tobytes() == second.tobytes()


def _rolled(inputs: Tensors, rows: int) -> Tensors:
    return {name: numpy.array(numpy.roll(array, rows, axis=0)) for name, array in inputs.items()}


def _predicted(model: LoadedModel, inputs: Tensors) -> Tensors:
    outputs = model.predict(inputs)
    check_outputs(outputs, "predict")
    return outputs


def _inputs(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[str, Any]:
    """``written``: inputs that a prediction changed; ``read_only``: what one on read-only arrays raised, or null."""
    given = _copied(inputs)
    _predicted(model, given)
    written = [name for name in inputs if not _same(given[name], inputs[name])]
    locked = _copied(inputs)
    for array in locked.values():
        array.flags.writeable = False
    message: Optional[str] = None
    try:
        _predicted(model, locked)
    except Exception as error:
        message = "{}: {}".format(type(error).__name__, " ".join(str(error).split()))
    return {"written": written, "read_only": message}


def _outputs(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[str, Any]:
    """``claimed``: ``returns_new_arrays``; ``overwritten``: outputs that changed once later predictions were made and
    the inputs' memory was used again.
    """
    kept: List[Tensors] = []
    copies: List[Tensors] = []
    for turn in range(_KEPT_PREDICTIONS):
        # Other rows each time: an output that was overwritten with the same values would not show.
        given = _rolled(inputs, turn)
        outputs = _predicted(model, given)
        kept.append(dict(outputs))
        copies.append(_copied(outputs))
        # A predictor may hand out views of its inputs; overwritten here, they no longer equal the copies.
        for array in given.values():
            array[...] = numpy.zeros((), array.dtype)
    overwritten = sorted(
        {name for now, then in zip(kept, copies) for name in then if not _same(numpy.asarray(now[name]), then[name])}
    )
    return {"claimed": bool(model.returns_new_arrays), "overwritten": overwritten}


def _bound(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[str, Any]:
    """``call_path``; ``differing``: outputs of a bound batch that are not what prediction gives, at once or after
    another prediction; ``lacking``: outputs it does not give.
    """
    bound = model.bind(_copied(inputs))
    check_bound(bound)
    expected = _copied(_predicted(model, inputs))
    differing = set()
    lacking = set()
    for turn in range(3):
        bound.run()
        outputs = bound.outputs()
        check_outputs(outputs, "Bound.outputs")
        for name, array in expected.items():
            if name not in outputs:
                lacking.add(name)
                continue
            given = numpy.asarray(outputs[name])
            close = given.shape == array.shape and (
                numpy.allclose(given, array, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
                if array.dtype.kind in "fc"
                else numpy.array_equal(given, array)
            )
            if not close:
                differing.add(name)
        # Other inputs in between: a bound batch must not take what the latest prediction left in shared buffers.
        _predicted(model, _rolled(inputs, turn + 1))
    return {"call_path": bound.call_path, "differing": sorted(differing), "lacking": sorted(lacking)}


def _os_threads() -> Optional[int]:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def _waited() -> Optional[float]:
    """Seconds that this process's threads were ready to run and had no core, by ``schedstat`` of proc(5)."""
    nanoseconds = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            try:
                with open("/proc/self/task/{}/schedstat".format(thread), "rb") as schedstat:
                    nanoseconds += int(schedstat.read().split()[1])
            except ProcessLookupError:
                pass  # it has ended
    except (OSError, IndexError):
        return None
    return nanoseconds / 1e9


def _work(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[str, Any]:
    """Predict the batch again and again for ``seconds``: ``wall_seconds``, ``cpu_seconds`` of all this process's
    threads, ``waiting_seconds`` in which they were ready to run and had no core, ``calls``, and ``os_threads``; null
    where unknown.
    """
    # Compiling and allocating belong to the first calls, and would count as work.
    for _ in range(3):
        model.predict(inputs)
    calls = 0
    waited = _waited()
    cpu_began = time.process_time()
    began = now = time.perf_counter()
    while now - began < request["seconds"]:
        model.predict(inputs)
        calls += 1
        now = time.perf_counter()
    cpu_seconds = time.process_time() - cpu_began
    waited_since = _waited()
    return {
        "cpu_seconds": cpu_seconds,
        "waiting_seconds": None if waited is None or waited_since is None else max(waited_since - waited, 0.0),
        "wall_seconds": now - began,
        "calls": calls,
        "os_threads": _os_threads(),
    }


_ASPECTS: Dict[str, Callable[[LoadedModel, Tensors, Dict[str, Any]], Dict[str, Any]]] = {
    "inputs": _inputs,
    "outputs": _outputs,
    "bound": _bound,
    "work": _work,
}


def examine(model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> Dict[str, Any]:
    """The facts of one ``aspect``: ``inputs``, ``outputs``, ``bound`` or ``work``.

    :raises WrongReturn: when the predictor returns something else than its interface says.
    :raises ValueError: for another aspect.
    """
    aspect = _ASPECTS.get(request["aspect"])
    if aspect is None:
        raise ValueError("unknown aspect {!r}; there are: {}".format(request["aspect"], ", ".join(_ASPECTS)))
    return aspect(model, inputs, request)
