"""Apache MXNet 1, through its symbolic interface."""

import ctypes
import json
import os
import re
import statistics
import tempfile
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy

# MXNet reads it once, as it starts. One worker computes at a time, with OMP_NUM_THREADS threads.
if "OMP_NUM_THREADS" in os.environ:
    os.environ["MXNET_CPU_WORKER_NTHREADS"] = "1"

import mxnet  # noqa: E402  # after what it reads
from mxnet.base import _LIB, MXNetError, NDArrayHandle, check_call  # noqa: E402  # likewise

from pytest_mlscope.host.predictor import (  # noqa: E402  # likewise
    Bound,
    Layer,
    LoadedModel,
    LoadRequest,
    NoSuchName,
    Predictor,
    Tensors,
    Unsupported,
)

# What the ONNX importer of MXNet 1.9 takes.
_OPSETS = range(9, 18)
_MICROSECOND = 1e-6
# The first two call through an address that the file states, the others call Python.
_RUNNING_CODE = {"_Native", "_NDArray", "Custom", "_CustomFunction"}
_WITH_A_LABEL = (
    "SoftmaxOutput",
    "Softmax",
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "SVMOutput",
)

Arrays = Dict[str, Any]


def _one_line(error: BaseException) -> str:
    # An MXNetError's text begins with positions in MXNet's own source code and may end in a stack trace.
    text = str(error).split("\nStack trace")[0].split("MXNetError: ")[-1]
    return " ".join(re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", text).split())[:600]


def _openmp_threads() -> Optional[int]:
    """Threads of a parallel region, by the OpenMP library that MXNet is linked with; ``None`` with another one."""
    try:
        return int(ctypes.CDLL("libgomp.so.1").omp_get_max_threads())
    except OSError:
        return None


def _computes_bf16() -> bool:
    """Whether the processor multiplies bf16, by Linux's own words; elsewhere it is not known, so it is not claimed."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())


class _Graph(object):
    """A symbol, its parameters, and its outputs by name."""

    def __init__(self, symbol: Any, arguments: Arrays, states: Arrays, outputs: List[str]) -> None:
        self.symbol = symbol
        self.arguments = arguments
        self.states = states
        self.outputs = outputs
        self.free = [name for name in symbol.list_arguments() if name not in arguments]
        labels = _labels(json.loads(symbol.tojson())["nodes"])
        self.labels = [name for name in self.free if name in labels]
        self.inputs = [name for name in self.free if name not in labels]


def _labels(nodes: List[Dict[str, Any]]) -> List[str]:
    """Names of variables that only loss layers read, as their label: predictions do not depend on them."""
    readers: Dict[int, List[Tuple[str, int]]] = {}
    for node in nodes:
        for position, (source, _, *_) in enumerate(node["inputs"]):
            readers.setdefault(source, []).append((node["op"], position))
    return [
        node["name"]
        for index, node in enumerate(nodes)
        if node["op"] == "null" and index in readers and all(_is_label(*reader) for reader in readers[index])
    ]


def _is_label(operator: str, position: int) -> bool:
    return operator in _WITH_A_LABEL and position == 1


class _Executor(object):
    """A symbol bound to inputs of one shape; shares the parameters' memory."""

    def __init__(self, graph: _Graph, context: Any, shapes: Dict[str, Any], dtypes: Dict[str, Any]) -> None:
        inferred, _, _ = graph.symbol.infer_shape(**shapes)
        if inferred is None:
            raise ValueError("its shapes do not follow from those of its inputs")
        whole = dict(zip(graph.symbol.list_arguments(), inferred))
        labels = {name: mxnet.nd.zeros(whole[name], ctx=context) for name in graph.labels}
        self.shapes = shapes
        self.holds: Any = None
        """What is in the inputs, where it is a bound batch."""
        self.inputs = {name: mxnet.nd.zeros(shape, ctx=context, dtype=dtypes[name]) for name, shape in shapes.items()}
        arguments = dict(graph.arguments, **self.inputs)
        arguments.update(labels)
        self.executor = graph.symbol.bind(
            context,
            {name: arguments[name] for name in graph.symbol.list_arguments()},
            aux_states={name: graph.states[name] for name in graph.symbol.list_auxiliary_states()},
            # Nothing is trained here, so no gradient needs memory.
            grad_req="null",
        )

    def forward(self, inputs: Tensors) -> List[Any]:
        for name, array in inputs.items():
            self.inputs[name][:] = numpy.ascontiguousarray(array)
        outputs: List[Any] = self.executor.forward(is_train=False)
        for output in outputs:
            output.wait_to_read()
        return outputs


class _Model(LoadedModel):
    """A symbol, bound to the shapes in use: one executor for plain prediction, one for the timed batches."""

    returns_new_arrays = True

    def __init__(self, graph: _Graph, context: Any, request: LoadRequest) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._graph: Any = graph
        self._context = context
        self._outputs = [(name, graph.outputs.index(name)) for name in request.outputs]
        try:
            self._dtypes = _dtypes(graph, request)
        except MXNetError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        self._executor: Optional[_Executor] = None
        self._timed: Optional[_Executor] = None
        shapes = {each.name: (request.batch_size, *each.shape[1:]) for each in request.inputs}
        if not any(size is None for shape in shapes.values() for size in shape):
            self._executor = self._bound_to(shapes)

    def predict(self, inputs: Tensors) -> Tensors:
        """Copy the inputs into an executor of their shapes, run it, wait, and copy the outputs."""
        self._check(inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        if self._executor is None or self._executor.shapes != shapes:
            self._executor = None  # its memory first
            self._executor = self._bound_to(shapes)
        try:
            outputs = self._executor.forward(inputs)
            return {name: outputs[index].asnumpy() for name, index in self._outputs}
        except MXNetError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def bind(self, inputs: Tensors) -> Bound:
        """Through MXNet's C interface, for ``Executor.forward`` wraps its outputs anew at every call.

        The engine is asynchronous: ``wait_to_read`` of every output ends a call.

        An executor keeps the weights in an order of its own, so that batches of one shape share one. Where several take
        turns, each is copied in when its turn comes.
        """
        self._check(inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        self._executor = None  # its memory first
        if self._timed is None or self._timed.shapes != shapes:
            self._timed = self._bound_to(shapes)
        timed = self._timed
        batch = {name: mxnet.nd.array(array, self._context, array.dtype) for name, array in inputs.items()}
        try:
            arrays = timed.forward(inputs)
        except MXNetError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        timed.holds = batch
        forward, handle, inference = _LIB.MXExecutorForward, timed.executor.handle, ctypes.c_int(0)
        first, rest = arrays[0].wait_to_read, [array.wait_to_read for array in arrays[1:]]

        def run() -> None:
            if timed.holds is not batch:
                for name, array in batch.items():
                    array.copyto(timed.inputs[name])
                timed.holds = batch
            check_call(forward(handle, inference))
            first()
            for wait in rest:
                wait()

        return Bound(run, lambda: {name: arrays[index].asnumpy() for name, index in self._outputs}, "MXExecutorForward")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """By MXNet's profiler; each operator is waited for, so that none overlaps with another."""
        if self._context.device_type != "cpu":
            raise Unsupported("MXNet's profiler times operators on the CPU alone")
        self._check(inputs)
        bound = self._bound_to({name: array.shape for name, array in inputs.items()})
        seen: Dict[str, Tuple[List[int], int]] = {}

        def observe(name: bytes, handle: Any) -> None:
            array = mxnet.nd.NDArray(ctypes.cast(handle, NDArrayHandle), writable=False)
            array.wait_to_read()
            seen[name.decode()] = list(array.shape), array.size * numpy.dtype(array.dtype).itemsize

        try:
            bound.forward(inputs)
            bound.executor.set_monitor_callback(observe)
            executed = bound.executor.get_optimized_symbol()
            operators = [node for node in json.loads(executed.tojson())["nodes"] if node["op"] != "null"]
            kinds = [node["op"] for node in operators]
            with tempfile.TemporaryDirectory(dir=os.environ.get("MLSCOPE_SCRATCH")) as folder:
                times = _profiled(bound, inputs, runs, os.path.join(folder, "profile.json"))
        except MXNetError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        # The engine's own work, such as waiting and freeing, is in the profile too.
        times = [(kind, seconds) for kind, seconds in times if kind in kinds]
        if [kind for kind, _ in times] != kinds * runs:
            raise Unsupported("{}: MXNet's profile does not tell which operator is which".format(self._file_name))
        first_outputs: Dict[str, str] = {}
        for output in executed.get_internals():
            first_outputs.setdefault(output.name, output.list_outputs()[0])
        layers = []
        for index, node in enumerate(operators):
            shape, memory = seen.get(first_outputs[node["name"]], (None, None))
            seconds = statistics.median(seconds for _, seconds in times[index :: len(operators)])
            layers.append(Layer(node["name"], node["op"], seconds, shape, memory))
        return layers

    def unload(self) -> None:
        self._executor = None
        self._timed = None
        self._graph = None
        # What the engine still runs keeps its arrays alive.
        mxnet.nd.waitall()
        if self._context.device_type == "gpu":
            self._context.empty_cache()

    def _bound_to(self, shapes: Dict[str, Any]) -> _Executor:
        try:
            return _Executor(self._graph, self._context, shapes, self._dtypes)
        except (MXNetError, ValueError) as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def _check(self, inputs: Tensors) -> None:
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))


def _dtypes(graph: _Graph, request: LoadRequest) -> Dict[str, Any]:
    """What each input has to be; MXNet finds where that does not go with the parameters."""
    dtypes = {each.name: numpy.dtype(each.dtype) for each in request.inputs}
    graph.symbol.infer_type(**dict(dtypes, **{name: array.dtype for name, array in graph.arguments.items()}))
    return dtypes


def _profiled(bound: _Executor, inputs: Tensors, runs: int, path: str) -> List[Tuple[str, float]]:
    """Kind and seconds of each operator that ran, in order."""
    mxnet.profiler.set_config(profile_symbolic=True, profile_api=False, aggregate_stats=False, filename=path)
    mxnet.profiler.set_state("run")
    try:
        for _ in range(runs):
            bound.forward(inputs)
    finally:
        mxnet.profiler.set_state("stop")
        mxnet.profiler.dump(finished=False)
    # What is dumped goes on where the last dump of the process ended, in the middle of a list: after a finished one
    # MXNet profiles no more.
    with open(path, encoding="utf-8") as file:
        text = file.read()
    events = json.loads("[{}]".format(text.partition("[")[2] if text.startswith("{") else text.lstrip(" \n,")))
    times: List[Tuple[str, float]] = []
    began: Dict[Any, float] = {}
    # Each operator is there twice: as an event of its thread (B, E) and as one of its kind (b, e).
    for event in events:
        if event.get("cat") == "operator" and event["ph"] == "B":
            began[event["tid"]] = event["ts"]
        elif event.get("cat") == "operator" and event["ph"] == "E":
            times.append((event["name"], (event["ts"] - began[event["tid"]]) * _MICROSECOND))
    return times


class FrameworkPredictor(Predictor):
    """MXNet on the CPU or a GPU, with the OpenMP threads that this process was started with."""

    def version(self) -> str:
        return str(mxnet.__version__)

    def build_information(self) -> Dict[str, str]:
        features = mxnet.runtime.Features()
        return {"features": ", ".join(sorted(name for name in features if features.is_enabled(name)))}

    def devices(self) -> List[str]:
        return ["cpu", "gpu"] if _gpus() else ["cpu"]

    def load(self, request: LoadRequest) -> LoadedModel:
        """Read a symbol with its parameters, or an ONNX file through MXNet's importer.

        ``fp32`` is refused for fp16 parameters. ``bf16`` is MXNet's automatic mixed precision over fp32 parameters, on
        processors that multiply it.
        """
        context = self._context(request)
        threads = _openmp_threads()
        if request.threads is not None and threads != request.threads:
            raise Unsupported(
                "{} threads were asked for and MXNet takes {}; OMP_NUM_THREADS sets them when the process "
                "starts".format(request.threads, "an unknown number" if threads is None else threads)
            )
        is_onnx = request.files["model"].endswith(".onnx")
        graph = _from_onnx(request) if is_onnx else _from_symbol(request)
        _check_names(os.path.basename(request.files["model"]), graph, request)
        if request.precision == "bf16":
            graph = _in_bf16(graph)
        for arrays in (graph.arguments, graph.states):
            arrays.update({name: array.as_in_context(context) for name, array in arrays.items()})
        kinds = {numpy.dtype(array.dtype).name for array in graph.arguments.values()}
        if request.precision == "fp32" and "float16" in kinds:
            raise Unsupported("{}: its parameters are fp16".format(os.path.basename(request.files["model"])))
        model = _Model(graph, context, request)
        model.resolved = {
            "precision": "bf16" if request.precision == "bf16" else "fp16" if "float16" in kinds else "fp32",
            "threads": threads,
            "workers": int(os.environ.get("MXNET_CPU_WORKER_NTHREADS", "1")),
            "context": str(context),
        }
        return model

    def _context(self, request: LoadRequest) -> Any:
        """The device. :raises Unsupported: where it is not here, or does not compute in the precision asked for."""
        if request.device not in ("cpu", "gpu"):
            raise Unsupported("MXNet has no device {}; it has cpu and gpu".format(request.device))
        if request.device == "gpu":
            if not mxnet.runtime.Features().is_enabled("CUDA"):
                raise Unsupported("this build of MXNet is for the CPU alone; mxnet-cu112 is one for CUDA")
            if not _gpus():
                raise Unsupported("MXNet finds no GPU here")
            # TensorFloat-32 rounds fp32 products to 10 bits of mantissa; cuDNN's default is to allow it.
            if request.precision == "fp32":
                os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        if request.precision not in ("fp32", "bf16", "framework_default"):
            raise Unsupported("MXNet has no " + request.precision)
        if request.precision == "bf16" and (request.device != "cpu" or not _computes_bf16()):
            raise Unsupported("bf16 takes a CPU that computes in it (avx512_bf16 or amx_bf16)")
        return mxnet.gpu() if request.device == "gpu" else mxnet.cpu()


def _gpus() -> int:
    try:
        return int(mxnet.context.num_gpus())
    except MXNetError:
        return 0


def _from_symbol(request: LoadRequest) -> _Graph:
    """:raises ValueError: for what is no symbol, or calls code of its own."""
    path = request.files["model"]
    file_name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        refused = sorted(_operators(json.loads(text)) & _RUNNING_CODE)
    except (ValueError, KeyError, TypeError):
        raise ValueError("{}: not the JSON of an MXNet symbol".format(file_name)) from None
    if refused:
        raise ValueError("{}: operator {} runs code of its own and is refused".format(file_name, ", ".join(refused)))
    try:
        symbol = mxnet.sym.load_json(text)
    except MXNetError as error:
        raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
    arguments, states = _parameters(request.files.get("params"))
    return _Graph(symbol, arguments, states, symbol.list_outputs())


def _operators(graph: Dict[str, Any]) -> Set[str]:
    """Operators of a symbol's JSON, those of the bodies of its loops and branches too."""
    kinds = set()
    for node in graph["nodes"]:
        kinds.add(node["op"])
        for body in node.get("subgraphs", ()):
            kinds |= _operators(body)
    return kinds


def _parameters(path: Optional[str]) -> Tuple[Arrays, Arrays]:
    """Arguments and auxiliary states; a name without ``arg:`` or ``aux:`` may be either."""
    if path is None:
        return {}, {}
    file_name = os.path.basename(path)
    try:
        stored = mxnet.nd.load(path)
    except MXNetError as error:
        raise RuntimeError("{}: not a .params of MXNet: {}".format(file_name, _one_line(error))) from None
    if not isinstance(stored, dict):
        raise ValueError("{}: its arrays have no names".format(file_name))
    arguments = {name.split("arg:", 1)[-1]: array for name, array in stored.items() if not name.startswith("aux:")}
    states = {name.split("aux:", 1)[-1]: array for name, array in stored.items() if not name.startswith("arg:")}
    return arguments, states


def _from_onnx(request: LoadRequest) -> _Graph:
    """:raises ValueError: for an opset that MXNet does not know. :raises RuntimeError: when its importer fails."""
    path = request.files["model"]
    file_name = os.path.basename(path)
    try:
        import onnx
        from mxnet.contrib.onnx.onnx2mx.import_onnx import GraphProto
    except ImportError:
        raise RuntimeError("{}: MXNet reads it through the onnx package, which is missing".format(file_name)) from None
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own exception differs between its implementations
        raise RuntimeError("{}: not an ONNX file: {}".format(file_name, _one_line(error))) from None
    opset = max([each.version for each in model.opset_import if each.domain in ("", "ai.onnx")], default=0)
    if opset not in _OPSETS:
        raise ValueError("{}: opset {}; MXNet reads {} to {}".format(file_name, opset, _OPSETS[0], _OPSETS[-1]))
    # MXNet knows only inputs, among which IR version 4 and later need not list the initialisers.
    listed = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in listed:
            model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    try:
        symbol, arguments, states = GraphProto().from_onnx(model.graph, opset_version=opset)
    except Exception as error:  # of any class: an operator or attribute it does not know
        what = "{}: {}".format(type(error).__name__, _one_line(error))
        raise RuntimeError("{}: MXNet cannot import it: {}".format(file_name, what)) from None
    return _Graph(symbol, arguments, states, [value.name for value in model.graph.output])


def _in_bf16(graph: _Graph) -> _Graph:
    """What MXNet's automatic mixed precision makes of it: inputs, outputs and stored parameters stay fp32."""
    from mxnet.contrib import amp

    symbol, arguments, states = amp.convert_model(
        graph.symbol, graph.arguments, graph.states, target_dtype="bfloat16", cast_optional_params=False
    )
    return _Graph(symbol, arguments, states, graph.outputs)


def _check_names(file_name: str, graph: _Graph, request: LoadRequest) -> None:
    asked = [description.name for description in request.inputs]
    for what, names, present in (("input", asked, graph.inputs), ("output", request.outputs, graph.outputs)):
        for name in names:
            if name not in present:
                raise NoSuchName(file_name, what, name, present)
    missing = [name for name in graph.inputs if name not in asked]
    missing += [name for name in graph.symbol.list_auxiliary_states() if name not in graph.states]
    if missing:
        raise ValueError(
            "{}: {} neither given as input nor among the parameters".format(file_name, ", ".join(missing[:8]))
        )
