"""ExecuTorch: a program's method ``forward``, lowered beforehand, in the types the file states."""

import gc
import os
import statistics
import struct
import tempfile
import time
import warnings
from typing import Any, Dict, List, Set, Tuple

import numpy
import torch
from executorch import version as executorch_version

# What executorch.runtime wraps; importing that would also import the exporter, which takes seconds and 200 MB.
from executorch.extension.pybindings import _C as runtime

from pytest_mlscope.host.predictor import Bound, Layer, LoadedModel, LoadRequest, Predictor, Tensors, Unsupported

_METHOD = "forward"
# ExecuTorch's ScalarType.
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}
# XNNDatatype of ExecuTorch's XNNPACK schema: none stated, fp32, int32 and packed fp32; then the 16-bit ones. The others
# are quantised.
_XNNPACK_FP32 = {0, 1, 12, 13}
_XNNPACK_HALVES = {2: "float16", 14: "bfloat16"}
_FEW_STEPS = 0.01
"""Milliseconds."""
_ENOUGH_CALLS = 400
_ENOUGH_SECONDS = 0.1
_WHOLE_PROGRAM = ("Method::execute", "DELEGATE_CALL", "OPERATOR_CALL")


def _number(content: bytes, place: int, kind: str) -> int:
    return int(struct.unpack_from("<" + kind, content, place)[0])


def _field(content: bytes, table: int, index: int) -> int:
    """Where a field of a FlatBuffers table lies; 0 where it is absent."""
    layout = table - _number(content, table, "i")
    slot = 4 + 2 * index
    offset = _number(content, layout + slot, "H") if slot < _number(content, layout, "H") else 0
    return table + offset if offset else 0


def _referred(content: bytes, place: int) -> int:
    return place + _number(content, place, "I")


def _xnnpack_types(content: bytes) -> Set[int]:
    """The types of all values that XNNPACK computes with, as ``XNNDatatype``.

    Each part lowered to XNNPACK begins with a header (magic ``XH00`` at byte 4, offset of the graph at byte 10); tables
    and fields are those of ``backends/xnnpack/serialization/schema.fbs``.
    """
    found = set()
    header = content.find(b"XH00") - 4
    while header >= 0:
        root = _referred(content, header + _number(content, header + 10, "I"))
        values = _referred(content, _field(content, root, 2))
        for number in range(_number(content, values, "I")):
            value = _referred(content, values + 4 + 4 * number)
            is_quantised = _number(content, _field(content, value, 0), "B") == 2
            tensor = _referred(content, _field(content, value, 1))
            if is_quantised:
                tensor = _referred(content, _field(content, tensor, 0))
            datatype = _field(content, tensor, 0)
            found.add(_number(content, datatype, "h") if datatype else 0)
        header = content.find(b"XH00", header + 8) - 4
    return found


class _Program(object):
    """A program and its method ``forward``, with memory of their own."""

    def __init__(self, path: str, profiled: bool = False) -> None:
        file_name = os.path.basename(path)
        try:
            self.program = runtime._load_program(path, enable_etdump=profiled)
            names = [self.program.get_method_name(index) for index in range(self.program.num_methods())]
        except Exception as error:
            raise RuntimeError("{}: not a program ExecuTorch can read: {}".format(file_name, error)) from None
        if _METHOD not in names:
            raise RuntimeError("{}: no method {}; it has {}".format(file_name, _METHOD, ", ".join(names)))
        try:
            self.method = self.program.load_method(_METHOD)
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, " ".join(str(error).split())[:600])) from None


class _Model(LoadedModel):
    """A program. It has no names, so inputs and outputs are in the manifest's order."""

    returns_new_arrays = True

    def __init__(self, loaded: _Program, request: LoadRequest) -> None:
        self._loaded = loaded
        self._path = request.files["model"]
        self._file_name = os.path.basename(self._path)
        self._inputs = [description.name for description in request.inputs]
        self._outputs = list(request.outputs)
        self._metas = _metas(self._file_name, loaded.method, request)
        self.resolved = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """Call the method and have its outputs cloned, since they lie in memory that the next call uses again."""
        tensors = self._tensors(inputs)
        return self._named(self._call(self._loaded, tensors, True))

    def bind(self, inputs: Tensors) -> Bound:
        """A program of its own, whose outputs stay in its memory.

        Inputs are copied in at every call: their memory is planned to be used again within one.
        """
        loaded = _Program(self._path)
        # Clones, since torch.from_numpy borrows memory that the caller may write to again.
        tensors = [tensor.clone() for tensor in self._tensors(inputs)]
        call = loaded.method.call
        latest = [self._call(loaded, tensors, False)]

        def run() -> None:
            latest[0] = call(tensors, False)

        return Bound(run, lambda: self._named([value.clone() for value in latest[0]]), "Method.execute")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The events of ETDump within one execution: XNNPACK's operators, to the microsecond, and ExecuTorch's own."""
        loaded = _Program(self._path, True)
        if not loaded.program.has_etdump():
            raise Unsupported("this build of ExecuTorch has no event tracer")
        tensors = self._tensors(inputs)
        # Of small models more runs, for so coarse a clock.
        calls, enough = 0, time.perf_counter() + _ENOUGH_SECONDS
        while calls < runs or (calls < _ENOUGH_CALLS and time.perf_counter() < enough):
            self._call(loaded, tensors, False)
            calls += 1
        from executorch.devtools import Inspector  # seconds, and only here

        with tempfile.TemporaryDirectory(dir=os.environ.get("MLSCOPE_SCRATCH")) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = os.path.join(folder, "events.etdp")
            loaded.program.write_etdump_result_to_file(path, "")
            blocks = Inspector(etdump_path=path).event_blocks
        layers = []
        for event in [event for block in blocks if block.name == "Execute" for event in block.events]:
            if event.perf_data is None or event.name in _WHOLE_PROGRAM:
                continue
            seconds = _typical(event.perf_data.raw) * 1e-3
            layers.append(Layer(event.name, event.name.split(" #")[0], seconds if seconds > 0 else None))
        if not layers:
            raise Unsupported("{}: ExecuTorch's event tracer tells of no operator".format(self._file_name))
        return layers

    def unload(self) -> None:
        del self._loaded
        gc.collect()

    def _call(self, loaded: _Program, tensors: List[Any], clone_outputs: bool) -> List[Any]:
        try:
            return list(loaded.method.call(tensors, clone_outputs))
        except Exception as error:
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
            raise RuntimeError(
                "{}: {} with inputs of shape {}".format(self._file_name, " ".join(str(error).split()), shapes)
            ) from None

    def _tensors(self, inputs: Tensors) -> List[Any]:
        if set(inputs) != set(self._inputs):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._inputs)))
        tensors = []
        for name, (dtype, largest) in zip(self._inputs, self._metas):
            array = inputs[name]
            if array.dtype != dtype:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, dtype))
            if array.ndim != len(largest) or any(size > limit for size, limit in zip(array.shape, largest)):
                raise RuntimeError(
                    "{}: input {!r} has shape {}; the program was exported for at most {}".format(
                        self._file_name, name, list(array.shape), list(largest)
                    )
                )
            tensors.append(torch.from_numpy(numpy.ascontiguousarray(array)))
        return tensors

    def _named(self, values: List[Any]) -> Tensors:
        # numpy has no bfloat16, and every bfloat16 is a float32.
        arrays = [(value.float() if value.dtype == torch.bfloat16 else value).numpy() for value in values]
        return dict(zip(self._outputs, arrays))


def _typical(milliseconds: List[float]) -> float:
    """The median, where it is many steps of XNNPACK's clock, which ticks every microsecond. Of one or two steps the
    median may be none, and only the mean over many runs tells anything; runs that were interrupted are left out.
    """
    median = float(statistics.median(milliseconds))
    if median >= _FEW_STEPS:
        return median
    return float(statistics.mean([each for each in milliseconds if each < 2 * _FEW_STEPS]))


class FrameworkPredictor(Predictor):
    """ExecuTorch's Python runtime on the CPU, with one pool of threads for the process."""

    def __init__(self) -> None:
        warnings.filterwarnings("ignore", message=".*given NumPy array is not writable.*")

    def version(self) -> str:
        return str(executorch_version.__version__).split("+")[0]

    def build_information(self) -> Dict[str, str]:
        return {
            "build": str(executorch_version.__version__),
            "backends": ", ".join(sorted(runtime._get_registered_backend_names())),
            "torch": str(torch.__version__),
        }

    def load(self, request: LoadRequest) -> LoadedModel:
        """Load the program. ``fp32`` is refused where inputs, outputs or a lowered part are 16-bit or quantised."""
        if request.device != "cpu":
            raise Unsupported("ExecuTorch's Python runtime computes on the processor; it has no " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("ExecuTorch computes in the types the file states; it has no " + request.precision)
        if request.threads is not None:
            runtime._unsafe_reset_threadpool(request.threads)
        threads = runtime._threadpool_get_thread_count()
        if request.threads is not None and threads != request.threads:
            raise Unsupported("{} threads were asked for and ExecuTorch takes {}".format(request.threads, threads))
        if request.precision == "fp32":
            _check_fp32(request.files["model"])
        loaded = _Program(request.files["model"])
        model = _Model(loaded, request)
        model.resolved = {
            "precision": "as the file states" if request.precision == "framework_default" else request.precision,
            "threads": threads,
        }
        return model


def _metas(file_name: str, method: Any, request: LoadRequest) -> List[Tuple[numpy.dtype, Tuple[int, ...]]]:
    """Type and largest shape of each input, in the program's order, which is the manifest's."""
    meta = method.method_meta()
    for what, asked, there in (
        ("input", [description.name for description in request.inputs], meta.num_inputs()),
        ("output", request.outputs, meta.num_outputs()),
    ):
        if len(asked) != there:
            raise ValueError(
                "{}: {} {}s asked for ({}); the program has {}, without names".format(
                    file_name, len(asked), what, ", ".join(asked), there
                )
            )
    if request.precision == "fp32":
        ends = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        ends += [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
        if any(_DTYPES.get(tensor.dtype()) in ("float16", "bfloat16") for tensor in ends):
            raise Unsupported("{}: has 16-bit inputs or outputs; the file is not fp32".format(file_name))
    metas = []
    for index in range(meta.num_inputs()):
        tensor = meta.input_tensor_meta(index)
        name = _DTYPES.get(tensor.dtype())
        if name is None or name == "bfloat16":
            raise Unsupported("{}: input {} is {}, which numpy lacks".format(file_name, index, name or "unknown"))
        metas.append((numpy.dtype(name), tuple(tensor.sizes())))
    return metas


def _check_fp32(path: str) -> None:
    """:raises Unsupported: for a file whose lowered parts are 16-bit or quantised, or that quantises between them."""
    file_name = os.path.basename(path)
    with open(path, "rb") as stream:
        # Whole: its parts are FlatBuffers, whose offsets lead back and forth.
        content = stream.read()
    try:
        types = _xnnpack_types(content)
    except struct.error:
        raise RuntimeError("{}: not a program ExecuTorch can read: it is cut short".format(file_name)) from None
    halves = sorted(_XNNPACK_HALVES[kind] for kind in types & set(_XNNPACK_HALVES))
    if halves:
        raise Unsupported("{}: has tensors of {}; the file is not fp32".format(file_name, ", ".join(halves)))
    if types - _XNNPACK_FP32 or b"quantized_decomposed::" in content:
        raise Unsupported("{}: is quantised; the file is not fp32".format(file_name))
