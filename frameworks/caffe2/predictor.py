"""Caffe2, as the wheels of PyTorch up to 1.10 carry it."""

import ctypes
import glob
import os
import re
import statistics
from typing import Any, Dict, List, Optional, Set, Tuple

import caffe2
import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import build, workspace

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

_MILLISECOND = 1e-3
# The newest that the ONNX importer of this Caffe2 knows.
_LARGEST_OPSET = 9
_LOG_ERRORS_ONLY = "--caffe2_log_level=2"
# They call Python, of which "Python" unpickles what the file holds, or reach files, sockets or the process itself.
_RUNNING_CODE = {
    *("Python", "PythonDLPack", "Crash", "LogFatal", "ThrowChildThreadException"),
    *("Load", "Save", "Snapshot", "Checkpoint", "CreateDB", "DBExists", "TensorProtosDBInput", "ImageInput"),
    *("VideoInput", "CreateTextFileReader", "FileStoreHandlerCreate", "RedisStoreHandlerCreate", "Print"),
    *("CreateCommonWorld", "CloneCommonWorld", "Onnxifi"),
}
_NOT_FP32 = re.compile(r"Int8|Half|F(loat|P)16")


def _one_line(error: BaseException) -> str:
    # Caffe2 begins with a position in its own source code and ends in a stack trace.
    text = re.split(r"\nframe #|\nException raised from", str(error))[0]
    return " ".join(re.sub(r"^\[enforce fail at \S+\] ", "", text).split())[:600]


def _library(name: str) -> Any:
    """A shared library beside PyTorch's, which Caffe2 has loaded already; ``None`` where there is none."""
    pattern = os.path.join(os.path.dirname(caffe2.__file__), "..", "torch", "lib", name)
    found = sorted(glob.glob(pattern))
    return ctypes.CDLL(os.path.realpath(found[0])) if found else None


def _threads() -> Optional[int]:
    """Threads of a parallel region and of MKL, as both say; ``None`` where they differ or do not say."""
    openmp, torch = _library("libgomp*.so*"), _library("libtorch_cpu.so")
    if openmp is None or torch is None:
        return None
    threads = int(openmp.omp_get_max_threads())
    mkl = getattr(torch, "mkl_get_max_threads", None)
    return threads if mkl is None or int(mkl()) == threads else None


class _Nets(object):
    """What to run once, and what to run for every prediction."""

    def __init__(self, init: Any, predict: Any, weights: Tensors, asked: List[str]) -> None:
        """``weights`` are those that no operator of ``init`` makes, ``asked`` the inputs that the manifest names."""
        # An init net may fill the inputs too, with an example.
        kept = [operator for operator in init.op if not operator.output or not set(operator.output) <= set(asked)]
        del init.op[:]
        init.op.extend(kept)
        self.init = init
        self.predict = predict
        self.weights = weights
        made = {*weights, *(name for operator in init.op for name in operator.output)}
        produced: Set[str] = set()
        inputs: Dict[str, None] = {}
        for operator in predict.op:
            inputs.update(dict.fromkeys(name for name in operator.input if name not in made | produced))
            produced.update(operator.output)
        self.inputs = list(inputs)
        self.overwrites_inputs = not produced.isdisjoint(inputs)
        self.outputs = [name for name in predict.external_output if name in produced] or sorted(produced)

    def initialise(self, target: Any) -> None:
        """Make the weights in a workspace, which then alone has them."""
        for name, value in self.weights.items():
            target.create_blob(name).feed(value)
        target._run_net(self.init.SerializeToString())
        self.weights.clear()
        del self.init.op[:]

    def create(self, target: Any) -> Any:
        """Make the net, and blobs for its inputs, in a workspace that has the weights or whose parent has them."""
        for name in self.inputs:
            target.create_blob(name)
        return target.create_net(self.predict.SerializeToString())


class _Running(object):
    """A net in a workspace of its own, over weights that it shares."""

    def __init__(self, nets: _Nets, weights: Any) -> None:
        self.weights = weights  # a child has only a pointer to its parent
        self.workspace = workspace.C.Workspace(weights)
        self.net = nets.create(self.workspace)
        self.holds: Any = None
        """What is in the inputs, where it is a bound batch."""

    def feed(self, batch: Tensors) -> None:
        for name, array in batch.items():
            self.workspace.blobs[name].feed(array)


class _Model(LoadedModel):
    """Weights in one workspace, and nets over them in workspaces of their own: one to predict, one to be timed."""

    returns_new_arrays = True

    def __init__(self, nets: _Nets, request: LoadRequest) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._nets: Any = nets
        self._dtypes = {each.name: numpy.dtype(each.dtype) for each in request.inputs}
        self._outputs = list(request.outputs)
        # The weights alone: a blob that a parent has is the same in its children.
        self._weights = workspace.C.Workspace()
        self._predicting: Optional[_Running] = None
        self._timed: Optional[_Running] = None
        try:
            nets.initialise(self._weights)
            self._predicting = _Running(nets, self._weights)
        except RuntimeError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def predict(self, inputs: Tensors) -> Tensors:
        """Feed the inputs, run the net, and fetch the outputs, which copies them."""
        self._check(inputs)
        if self._predicting is None:
            self._predicting = _Running(self._nets, self._weights)
        running = self._predicting
        try:
            running.feed(inputs)
            running.net.run()
        except RuntimeError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        return {name: running.workspace.fetch_blob(name) for name in self._outputs}

    def bind(self, inputs: Tensors) -> Bound:
        """A net over the same weights in a second workspace, so that plain predictions leave its inputs alone.

        Batches share it. Where several take turns, each is fed when its turn comes.
        """
        # A second run would read what the first one left in place of its inputs: each call must feed them.
        if self._nets.overwrites_inputs:
            return super(_Model, self).bind(inputs)
        self._check(inputs)
        batch = {name: numpy.array(array) for name, array in inputs.items()}
        self._predicting = None  # its memory first
        try:
            if self._timed is None:
                self._timed = _Running(self._nets, self._weights)
            timed = self._timed
            timed.feed(batch)
            timed.holds = batch
            timed.net.run()
        except RuntimeError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        run_net = timed.net.run

        def run() -> None:
            if timed.holds is not batch:
                timed.feed(batch)
                timed.holds = batch
            run_net()

        return Bound(run, lambda: {name: timed.workspace.fetch_blob(name) for name in self._outputs}, "Net.run")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """By ``BenchmarkNet``, which runs each operator of a net in the current workspace by itself."""
        self._check(inputs)
        before = workspace.CurrentWorkspace()
        workspace.SwitchWorkspace("mlscope-layers", True)
        try:
            own = workspace.C.Workspace.current
            for name in self._weights.blobs:
                own.create_blob(name).feed(self._weights.fetch_blob(name))
            self._nets.create(own)
            for name, array in inputs.items():
                own.blobs[name].feed(array)
            # Of several runs it tells the mean: one at a time, for their median. The first value is the whole net's.
            workspace.BenchmarkNet(self._nets.predict.name, 1, 1, True)
            times = [workspace.BenchmarkNet(self._nets.predict.name, 0, 1, True)[1:] for _ in range(runs)]
            layers = []
            for operator, milliseconds in zip(self._nets.predict.op, zip(*times)):
                shape, memory = _shape_and_bytes(own, operator)
                name = operator.name or (operator.output[0] if operator.output else operator.type)
                seconds = statistics.median(milliseconds) * _MILLISECOND
                layers.append(Layer(name, operator.type, seconds, shape, memory))
            return layers
        except RuntimeError as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        finally:
            workspace.ResetWorkspace()
            workspace.SwitchWorkspace(before)

    def unload(self) -> None:
        self._predicting = None
        self._timed = None
        self._weights = None
        self._nets = None

    def _check(self, inputs: Tensors) -> None:
        # Caffe2 keeps what an input held before where it is not fed, and takes any type until an operator reads it.
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))


def _shape_and_bytes(target: Any, operator: Any) -> Tuple[Optional[List[int]], Optional[int]]:
    """Of an operator's first output, where that is a tensor."""
    blob = target.blobs[operator.output[0]] if operator.output else None
    if blob is None or not blob.is_tensor():
        return None, None
    value = blob.fetch()
    return list(value.shape), value.nbytes


class FrameworkPredictor(Predictor):
    """Caffe2 on the CPU, with the threads that its flags gave this process."""

    def __init__(self) -> None:
        self._initialised = False

    def version(self) -> str:
        """PyTorch's: since 2018 Caffe2 has none of its own."""
        return str(build.build_options["TORCH_VERSION"])

    def build_information(self) -> Dict[str, str]:
        return {name.lower(): str(build.build_options.get(name, "")) for name in ("BLAS_INFO", "USE_OPENMP", "USE_MKL")}

    def load(self, request: LoadRequest) -> LoadedModel:
        """Read a pair of nets, or an ONNX file through Caffe2's importer.

        ``fp32`` is refused for a net with operators of another precision; ``framework_default`` takes it.
        """
        if request.device != "CPU":
            raise Unsupported("Caffe2 runs on the CPU alone here, not on " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("Caffe2 computes in the types the net states; it has no " + request.precision)
        self._initialise(request.threads)
        threads = _threads()
        if request.threads is not None and threads != request.threads:
            raise Unsupported(
                "{} threads were asked for and Caffe2 takes {}".format(
                    request.threads, "an unknown number" if threads is None else threads
                )
            )
        file_name = os.path.basename(request.files["model"])
        nets = _from_onnx(request) if request.files["model"].endswith(".onnx") else _from_nets(request)
        _check_names(file_name, nets, request)
        other = sorted(kind for kind in _operators(nets.init) | _operators(nets.predict) if _NOT_FP32.search(kind))
        if other and request.precision == "fp32":
            raise Unsupported("{}: operator {} is not fp32".format(file_name, ", ".join(other[:8])))
        if request.threads is not None:
            nets.predict.type = "simple"  # other types of net run operators on workers of their own
        model = _Model(nets, request)
        model.resolved = {
            "precision": "as the file states" if other else "fp32",
            "threads": threads,
            "net_type": nets.predict.type or "simple",
        }
        return model

    def _initialise(self, threads: Optional[int]) -> None:
        """Caffe2 takes its flags once a process."""
        if not self._initialised:
            flags = ["caffe2", _LOG_ERRORS_ONLY]
            if threads is not None:
                flags += ["--caffe2_omp_num_threads={}".format(threads), "--caffe2_mkl_num_threads={}".format(threads)]
            workspace.GlobalInit(flags)
            self._initialised = True


def _read_net(path: str) -> Any:
    """A net from its file. :raises ValueError: for what is no net, or reaches beyond it."""
    net = caffe2_pb2.NetDef()
    with open(path, "rb") as file:
        content = file.read()
    try:
        net.ParseFromString(content)
    except Exception:  # protobuf's own exception differs between its implementations
        raise ValueError("{}: not a net of Caffe2".format(os.path.basename(path))) from None
    if not net.op:
        raise ValueError("{}: a net without operators".format(os.path.basename(path)))
    refused = sorted(_operators(net) & _RUNNING_CODE)
    if refused:
        raise ValueError(
            "{}: operator {} reaches beyond the net and is refused".format(os.path.basename(path), ", ".join(refused))
        )
    return net


def _operators(net: Any) -> Set[str]:
    """Types of a net's operators, those of nets in their arguments too, be they messages or text."""
    kinds = set()
    for operator in net.op:
        kinds.add(str(operator.type))
        for argument in operator.arg:
            for inner in [*argument.nets, argument.n]:
                kinds |= _operators(inner)
            for text in [*argument.strings, argument.s]:
                kinds.update(kind.decode("ascii", "replace") for kind in re.findall(rb"""type:\s*["'](\w+)""", text))
    return kinds


def _from_nets(request: LoadRequest) -> _Nets:
    predict = _read_net(request.files["model"])
    init = _read_net(request.files["init"]) if "init" in request.files else caffe2_pb2.NetDef(name="init")
    # A net is made and benchmarked by its name.
    predict.name = predict.name or "predict"
    return _Nets(init, predict, {}, [description.name for description in request.inputs])


def _from_onnx(request: LoadRequest) -> _Nets:
    """Convert an ONNX file node by node.

    :raises ValueError: for an opset that Caffe2 does not know.
    :raises RuntimeError: when the importer fails.
    """
    path = request.files["model"]
    file_name = os.path.basename(path)
    try:
        import onnx
        from caffe2.python.onnx.backend import Caffe2Backend
    except ImportError:
        raise RuntimeError("{}: Caffe2 reads it through the onnx package, which is missing".format(file_name)) from None
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own exception differs between its implementations
        raise RuntimeError("{}: not an ONNX file: {}".format(file_name, _one_line(error))) from None
    opset = max([each.version for each in model.opset_import if each.domain in ("", "ai.onnx")], default=0)
    if not 0 < opset <= _LARGEST_OPSET:
        raise ValueError("{}: opset {}; Caffe2 reads up to {}".format(file_name, opset, _LARGEST_OPSET))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    init, predict = caffe2_pb2.NetDef(name="init"), caffe2_pb2.NetDef(name="predict")
    predict.external_output.extend(value.name for value in model.graph.output)
    try:
        model = onnx.shape_inference.infer_shapes(model)
        # Its own conversion of a whole model would run every operator once more, as a part of the initialisation.
        Caffe2Backend._dummy_name.reset(Caffe2Backend._all_names_in_graph(model.graph))
        for node in model.graph.node:
            converted = Caffe2Backend._onnx_node_to_caffe2_op(model, model, node, opset)
            init.op.extend(converted.init_ops)
            predict.op.extend(converted.ops)
    except Exception as error:  # of any class: an operator or attribute it does not know
        what = "{}: {}".format(type(error).__name__, _one_line(error))
        raise RuntimeError("{}: Caffe2 cannot import it: {}".format(file_name, what)) from None
    return _Nets(init, predict, weights, [])


def _check_names(file_name: str, nets: _Nets, request: LoadRequest) -> None:
    """:raises ValueError: for names that the nets do not have, and for inputs that nobody gives."""
    asked = [description.name for description in request.inputs]
    for what, names, present in (("input", asked, nets.inputs), ("output", request.outputs, nets.outputs)):
        for name in names:
            if name not in present:
                raise NoSuchName(file_name, what, name, present)
    missing = [name for name in nets.inputs if name not in asked]
    if missing:
        raise ValueError("{}: {} neither given as input nor made by an init net".format(file_name, ", ".join(missing)))
