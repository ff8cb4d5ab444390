"""CNTK 2.7 on the CPU."""

import ctypes
import glob
import mmap
import os
import re
import statistics
import sys
import tempfile
import warnings
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import numpy

from pytest_mlscope.host.predictor import (
    Bound,
    Layer,
    LoadedModel,
    LoadRequest,
    NoSuchName,
    Predictor,
    Tensors,
    Unsupported,
)

with warnings.catch_warnings():
    # It warns of every machine that is not Ubuntu 16.04 with an NVIDIA GPU.
    warnings.simplefilter("ignore")
    import cntk
    from cntk import cntk_py
    from cntk.internal.swig_helper import map_if_possible

_USER_DEFINED = b"UserDefinedFunction"
"""The type, in a V2 file, of a function that names the Python or the shared library to run."""
_TIMING_SWITCH = "_ZN9Microsoft3MSR4CNTK7Globals18m_enableNodeTimingE"
"""A C++ bool, ``Microsoft::MSR::CNTK::Globals::m_enableNodeTiming``: Python can switch node timing on, not off."""
_BUILD_FACTS = ("Build type", "Build target", "Math lib", "Build SHA1")
_TIMED_NODE = re.compile(r"^(\S+)\s+forward avg ([0-9.]+)s", re.MULTILINE)


def _one_line(error: BaseException) -> str:
    # What follows is CNTK's call stack.
    return " ".join(str(error).split("[CALL STACK]")[0].split())[:600]


def _takes_batch(variable: Any) -> bool:
    """Whether the batch is an axis of CNTK's own, not part of the shape."""
    return bool(variable.dynamic_axes)


def _shape(variable: Any) -> List[Any]:
    """With the batch first; ``None`` stands for any size."""
    shape = [None if size < 0 else size for size in variable.shape]
    return [None] + shape if _takes_batch(variable) else shape


def _fits(shape: List[Any], wanted: List[Any]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or other is None or size == other for size, other in zip(shape, wanted)
    )


def _printed(call: Callable[[], Any]) -> str:
    """What a C++ function writes to stderr."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        # The descriptor, not sys.stderr: C++ writes past Python.
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            call()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def _names_in_order(root: Any) -> Dict[str, Tuple[str, Any]]:
    """Primitive functions by uid, each after those whose outputs it reads, with a name.

    A function inside a block, such as what an ONNX operator was made of, bears the block's name and its own.
    """
    ordered: Dict[str, Tuple[str, Any]] = {}
    seen: Set[str] = set()
    waiting = [(root, "", False)]
    # A list in place of recursion: deep networks nest further than Python calls.
    while waiting:
        function, block, is_read = waiting.pop()
        if is_read:
            own = function.name or function.uid
            ordered[function.uid] = ("{}/{}".format(block, function.uid) if block else own, function)
        elif function.uid not in seen:
            seen.add(function.uid)
            if function.is_block:
                waiting.append((function.block_root.root_function, function.name or block, False))
            else:
                waiting.append((function, block, True))
            owners = [variable.owner.root_function for variable in function.inputs if variable.is_output]
            waiting.extend((owner, block, False) for owner in reversed(owners))
    return ordered


class _Model(LoadedModel):
    """A function of the outputs asked for."""

    returns_new_arrays = True

    def __init__(self, function: Any, outputs: Dict[str, Any], request: LoadRequest, resolved: Dict[str, Any]) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._function = function
        self._inputs = {variable.name or variable.uid: variable for variable in function.arguments}
        self._outputs = outputs
        self._device = cntk.device.cpu()
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """``Function.evaluate`` on values made of the arrays; outputs are copied out of CNTK's memory."""
        arguments = self._values(inputs)
        results = dict.fromkeys(self._outputs.values())
        self._evaluate(arguments, results)
        return self._arrays(results)

    def bind(self, inputs: Tensors) -> Bound:
        """The call that ``Function.eval`` ends in, on values that CNTK holds already.

        It skips the conversion of arguments and results, and returns when the CPU has finished.
        """
        arguments = self._values(inputs)
        function, device, variables = self._function, self._device, list(self._outputs.values())
        evaluate = cntk_py.Function.evaluate
        latest: Dict[Any, Any] = {}

        def run() -> None:
            for variable in variables:
                latest[variable] = None
            evaluate(function, arguments, latest, device)

        self._evaluate(arguments, dict.fromkeys(variables))
        return Bound(run, lambda: self._arrays(latest), "cntk_py.Function.evaluate")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """CNTK's timer of its nodes, which counts in whole microseconds."""
        try:
            switch = ctypes.c_bool.in_dll(ctypes.CDLL(_core_library()), _TIMING_SWITCH)
        except (OSError, ValueError):
            raise Unsupported("the timing of nodes could not be switched off again in this CNTK") from None
        arguments = self._values(inputs)
        batch = next(iter(inputs.values())).shape[0]
        seconds: Dict[str, List[float]] = {}
        self._evaluate(arguments, dict.fromkeys(self._outputs.values()))
        cntk_py.enable_node_timing()
        try:
            _printed(self._function.print_node_timing)
            for _ in range(runs):
                self._evaluate(arguments, dict.fromkeys(self._outputs.values()))
                for name, average in _TIMED_NODE.findall(_printed(self._function.print_node_timing)):
                    seconds.setdefault(name, []).append(float(average))
        finally:
            switch.value = False
        functions = _names_in_order(self._function.root_function)
        return [
            self._layer(name, function, seconds[uid], batch)
            for uid, (name, function) in functions.items()
            if uid in seconds
        ]

    def unload(self) -> None:
        self._function, self._inputs, self._outputs = None, {}, {}

    def _layer(self, name: str, function: Any, seconds: List[float], batch: int) -> Layer:
        shapes = [[batch if size is None else int(size) for size in _shape(output)] for output in function.outputs]
        sizes = [numpy.dtype(output.dtype).itemsize for output in function.outputs]
        memory = sum(size * int(numpy.prod(shape)) for size, shape in zip(sizes, shapes))
        return Layer(name, function.op_name, statistics.median(seconds) or None, shapes[0], memory)

    def _values(self, inputs: Tensors) -> Dict[Any, Any]:
        """The inputs as values that CNTK holds, checked: CNTK itself names neither the input nor what it wants."""
        if inputs.keys() != self._inputs.keys():
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._inputs)))
        for name, array in inputs.items():
            variable = self._inputs[name]
            if array.dtype != variable.dtype:
                wanted = numpy.dtype(variable.dtype)
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, wanted))
            if not _fits(list(array.shape), _shape(variable)) or not array.size:
                message = "input {!r} is {}; the model wants {}, where None is any from 1"
                raise ValueError(message.format(name, list(array.shape), _shape(variable)))
        return {
            self._inputs[name]: cntk.Value(cntk.NDArrayView.from_dense(array, self._device))
            for name, array in inputs.items()
        }

    def _evaluate(self, arguments: Dict[Any, Any], results: Dict[Any, Any]) -> None:
        try:
            cntk_py.Function.evaluate(self._function, arguments, results, self._device)
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def _arrays(self, results: Dict[Any, Any]) -> Tensors:
        arrays = {}
        for name, variable in self._outputs.items():
            value = results[variable]
            map_if_possible(value)
            arrays[name] = numpy.array(value.asarray())
        return arrays


class FrameworkPredictor(Predictor):
    """CNTK on the CPU."""

    def version(self) -> str:
        return str(cntk.__version__)

    def build_information(self) -> Dict[str, str]:
        facts = {}
        for line in _printed(cntk_py.print_built_info).splitlines():
            name, separator, value = line.strip().partition(": ")
            if separator and name in _BUILD_FACTS:
                facts[name.lower()] = value.strip()
        return facts

    def load(self, request: LoadRequest) -> LoadedModel:
        """Read a V2 model or an ONNX file. ``fp32`` is refused for a file with other types."""
        if request.device != "CPU":
            raise Unsupported("this CNTK runs on the CPU alone, not on " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("CNTK computes in the types the file states; it has no " + request.precision)
        threads = _threads(request.threads)
        path = request.files["model"]
        function = _read(path)
        precision = _precision(path, function, request.precision)
        outputs = _outputs(path, function, request)
        # Outputs that nobody asked for, such as a training criterion, may need inputs of their own.
        function = cntk.combine(list(outputs.values()))
        _check_inputs(path, function, request)
        return _Model(function, outputs, request, {"precision": precision, "threads": threads, "device": "CPU"})


def _threads(asked: Optional[int]) -> int:
    """Set the threads, and return what CNTK then says."""
    if asked is not None:
        cntk_py.set_max_num_cputhreads(asked)
    obtained = int(cntk_py.get_max_num_cputhreads())
    if asked not in (None, obtained):
        raise Unsupported("{} threads were asked for and CNTK takes {}".format(asked, obtained))
    return obtained


def _is_onnx(path: str) -> bool:
    return path.endswith(".onnx")


def _read(path: str) -> Any:
    """:raises ValueError: when CNTK cannot read the file, or the file brings code to run."""
    file_name = os.path.basename(path)
    # mmap refuses an empty file, and CNTK itself says what is wrong with one.
    if not _is_onnx(path) and os.path.getsize(path):
        # Mapped, so that searching a large model does not take as much memory.
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_USER_DEFINED) >= 0:
                raise ValueError("{}: refused: it has a user-defined function, which is code".format(file_name))
    try:
        model_format = cntk.ModelFormat.ONNX if _is_onnx(path) else cntk.ModelFormat.CNTKv2
        return cntk.Function.load(path, device=cntk.device.cpu(), format=model_format)
    except Exception as error:
        raise ValueError("{}: {}".format(file_name, _one_line(error))) from None


def _precision(path: str, function: Any, asked: str) -> str:
    """What the file's variables come to. :raises Unsupported: where that is not fp32 and fp32 was asked for."""
    for variable in function.inputs:
        if variable.dtype != numpy.float32:
            if asked == "fp32":
                message = "{}: {} is {}; the file is not fp32"
                kind = numpy.dtype(variable.dtype).name
                raise Unsupported(message.format(os.path.basename(path), variable.name or variable.uid, kind))
            return asked
    return "fp32"


def _outputs(path: str, function: Any, request: LoadRequest) -> Dict[str, Any]:
    """The outputs asked for, by the manifest's names."""
    file_name = os.path.basename(path)
    present = {variable.name or variable.uid: variable for variable in function.outputs}
    if _is_onnx(path):
        # CNTK's importer drops the names of outputs.
        if len(present) != 1 or len(request.outputs) != 1:
            message = "{}: the model has {} outputs; from ONNX, CNTK takes one, since it keeps no output's name"
            raise Unsupported(message.format(file_name, len(present)))
        return {request.outputs[0]: function.outputs[0]}
    for name in request.outputs:
        if name not in present:
            raise NoSuchName(file_name, "output", name, present)
    return {name: present[name] for name in request.outputs}


def _check_inputs(path: str, function: Any, request: LoadRequest) -> None:
    """:raises ValueError: for names, types or shapes that are not the file's.
    :raises Unsupported: for sparse inputs and sequences.
    """
    file_name = os.path.basename(path)
    present = {variable.name or variable.uid: variable for variable in function.arguments}
    for variable in function.arguments:
        # A sequence has an axis of its own beside the batch, and a manifest has no word for it.
        if len(variable.dynamic_axes) > 1 or variable.is_sparse:
            message = "{}: input {!r} is {}; only dense batches are passed"
            kind = "sparse" if variable.is_sparse else "a sequence"
            raise Unsupported(message.format(file_name, variable.name or variable.uid, kind))
    for description in request.inputs:
        if description.name not in present:
            raise NoSuchName(file_name, "input", description.name, present)
        variable = present[description.name]
        wanted, dtype = _shape(variable), numpy.dtype(variable.dtype).name
        if description.dtype != dtype or not _fits(description.shape, wanted):
            message = "{}: input {!r} is {} {}; the model takes {} {}, where None is any from 1"
            given = (description.name, description.dtype, description.shape)
            raise ValueError(message.format(file_name, *given, dtype, wanted))
    missing = sorted(set(present) - {description.name for description in request.inputs})
    if missing:
        raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))


def _core_library() -> str:
    (path,) = glob.glob(os.path.join(os.path.dirname(cntk.__file__), "libs", "libCntk.Core-*.so"))
    return path
