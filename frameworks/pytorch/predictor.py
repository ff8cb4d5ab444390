"""PyTorch: exported programs (``.pt2``) and TorchScript (``.pt``), no pickled modules: loading those runs code."""

import contextlib
import gc
import logging
import os
import re
import statistics
import warnings
import zipfile
from typing import Any, Callable, Dict, List, NamedTuple

# torch.export.load falls back to unpickling arbitrary objects where this is not set.
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)

import numpy
import torch

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

_HELD = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64"}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_PRECISIONS = {
    "cpu": ("fp32", "bf16", "framework_default"),
    "cuda": ("fp32", "bf16", "fp16", "framework_default"),
}
# Archive entries without code: no compiled libraries (data/aotinductor) and no pickled objects among the constants.
_DATA_ENTRY = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/.*|extra/.*|models/[^/]+\.json"
    r"|data/weights/[^/]+|data/sample_inputs/[^/]+\.pt|data/constants/(tensor_\d+|[^/]+_config\.json)"
)


_RUN = "mlscope run"
_NODE = "mlscope node "
_WARMUP_CALLS = 3


class _Program(NamedTuple):
    """A loaded program: how to call it and what its arguments are called."""

    call: Callable[..., Any]
    """With the checks PyTorch makes at every call."""
    forward: Callable[..., Any]
    """Without them."""
    arguments: List[str]
    call_path: str
    module: Any
    held: str
    """The precision of the weights."""


class _Model(LoadedModel):
    """A program under ``inference_mode``; at ``bf16`` and ``fp16`` under ``autocast`` too."""

    def __init__(self, program: _Program, request: LoadRequest) -> None:
        self._program = program
        self._file_name = os.path.basename(request.files["model"])
        self._dtypes = {description.name: numpy.dtype(description.dtype) for description in request.inputs}
        self._outputs = list(request.outputs)
        self._device = request.device
        self._inference = torch.inference_mode()
        dtype = _AUTOCAST.get(request.precision)
        self._mixed = contextlib.nullcontext() if dtype is None else torch.autocast(request.device, dtype=dtype)
        self._is_mixed = dtype is not None
        self.resolved = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """The program with the checks that PyTorch makes at every call, so that a wrong input is said in words."""
        tensors = self._tensors(inputs)
        try:
            with self._inference, self._mixed:
                result = self._program.call(*tensors)
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        return self._named(result)

    def bind(self, inputs: Tensors) -> Bound:
        """Tensors on the device, and the program's forward function without the checks round it.

        A CUDA call returns when its kernels are queued; ``torch.cuda.synchronize`` waits for them, within the time
        measured.
        """
        tensors = self._tensors(inputs)
        inference, mixed, forward = self._inference, self._mixed, self._program.forward
        synchronize = torch.cuda.synchronize
        latest: List[Any] = [self.predict(inputs)]

        # Four functions instead of one with conditions, which would be part of what is timed.
        def run_on_cpu() -> None:
            with inference:
                latest[0] = forward(*tensors)

        def run_on_cuda() -> None:
            with inference:
                latest[0] = forward(*tensors)
            synchronize()

        def run_mixed_on_cpu() -> None:
            with inference, mixed:
                latest[0] = forward(*tensors)

        def run_mixed_on_cuda() -> None:
            with inference, mixed:
                latest[0] = forward(*tensors)
            synchronize()

        if self._device == "cuda":
            run = run_mixed_on_cuda if self._is_mixed else run_on_cuda
        else:
            run = run_mixed_on_cpu if self._is_mixed else run_on_cpu
        run()
        for name, tensor in zip(self._program.arguments, tensors):
            # The timed calls share these tensors, so the second would predict what the first left in them.
            if tensor.cpu().numpy().tobytes() != inputs[name].tobytes():
                raise ValueError("the model writes to its input {!r}, so it cannot predict it twice".format(name))
        return Bound(run, lambda: self._named(latest[0]), self._program.call_path)

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """Kineto's times of the operators, gathered under the nodes of an exported program's graph. TorchScript tells
        no nodes: there each operator called is a layer, by its place.
        """
        if self._device != "cpu":
            raise Unsupported("the per-layer profile is of the CPU alone")
        if self._program.call_path == "torch.compile":
            raise Unsupported("a program under torch.compile has no layers any more")
        tensors = self._tensors(inputs)
        module = self._program.module
        interpreter = _NamedNodes(module) if isinstance(module, torch.fx.GraphModule) else None
        call = self._program.forward if interpreter is None else interpreter.run
        with self._inference, self._mixed:
            for _ in range(_WARMUP_CALLS):
                call(*tensors)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                for _ in range(runs):
                    with torch.profiler.record_function(_RUN):
                        call(*tensors)
        marked = sorted(
            (each for each in profile.events() if each.name == _RUN), key=lambda each: each.time_range.start
        )
        if interpreter is None:
            return _layers_by_place([_operators(run) for run in marked])
        return _layers_by_node(marked, interpreter.shown)

    def unload(self) -> None:
        del self._program
        gc.collect()
        if self._device == "cuda":
            # PyTorch's allocator keeps freed memory for itself, where no other framework gets it.
            torch.cuda.empty_cache()

    def _tensors(self, inputs: Tensors) -> List[Any]:
        """The inputs on the device, in the order the program takes them."""
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        tensors = []
        for name in self._program.arguments:
            array = inputs[name]
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))
            # A copy: a program may work in place, and the arrays are the caller's.
            tensors.append(torch.tensor(array, device=self._device))
        return tensors

    def _named(self, result: Any) -> Tensors:
        """Outputs by name where the program returns a dict, in the manifest's order where it does not."""
        if isinstance(result, dict):
            for name in self._outputs:
                if name not in result:
                    raise ValueError("no output {!r}; the model has {}".format(name, ", ".join(map(str, result))))
            return {name: _array(result[name]) for name in self._outputs}
        values = result if isinstance(result, (tuple, list)) else [result]
        if len(values) != len(self._outputs):
            raise ValueError(
                "{}: the model returns {} outputs, without names; the manifest has {}: {}".format(
                    self._file_name, len(values), len(self._outputs), ", ".join(self._outputs)
                )
            )
        return {name: _array(value) for name, value in zip(self._outputs, values)}


class _NamedNodes(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not there when types are checked
    """Runs a graph node by node, each under its name in the profile."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.shown: Dict[str, Any] = {}

    def run_node(self, n: Any) -> Any:
        with torch.profiler.record_function(_NODE + n.name):
            result = super().run_node(n)
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(first, torch.Tensor):
            self.shown[n.name] = (str(n.target), list(first.shape), first.numel() * first.element_size())
        else:
            self.shown[n.name] = (str(n.target), None, None)
        return result


def _operators(event: Any) -> List[Any]:
    """The outermost operators called during an event, in order."""
    found = []
    for child in sorted(event.cpu_children, key=lambda child: float(child.time_range.start)):
        if child.name.startswith("aten::"):
            found.append(child)
        else:
            found.extend(_operators(child))
    return found


def _layers_by_node(marked: List[Any], shown: Dict[str, Any]) -> List[Layer]:
    """A layer for each node of the graph that calls an operator, timed by its operators."""
    times: Dict[str, List[float]] = {}
    for run in marked:
        for node in sorted(run.cpu_children, key=lambda node: float(node.time_range.start)):
            operators = _operators(node)
            if node.name.startswith(_NODE) and operators:
                # Of the node itself, most is the interpreter's own work.
                total = sum(operator.time_range.elapsed_us() for operator in operators)
                times.setdefault(node.name[len(_NODE) :], []).append(total)
    layers = []
    for name, microseconds in times.items():
        kind, shape, memory = shown[name]
        layers.append(Layer(name, kind, statistics.median(microseconds) / 1e6 or None, shape, memory))
    return layers


def _layers_by_place(runs: List[List[Any]]) -> List[Layer]:
    """A layer for each operator called, by its place in the order of calls, which must be the same in every run."""
    names = [operator.name for operator in runs[0]]
    if any([operator.name for operator in run] != names for run in runs):
        raise Unsupported("the program calls other operators from run to run")
    layers = []
    for place, name in enumerate(names):
        median = statistics.median(run[place].time_range.elapsed_us() for run in runs)
        layers.append(Layer("{} {}".format(place, name), name, median / 1e6 or None))
    return layers


class FrameworkPredictor(Predictor):
    """PyTorch on the CPU or on CUDA; TensorFloat-32 is off unless ``framework_default`` asks for its own choice."""

    def __init__(self) -> None:
        # torch.export logs a traceback of its own for every file it cannot read.
        logging.getLogger("torch.export").setLevel(logging.CRITICAL)
        # Inputs may be read-only; they are copied before a program could write to them.
        warnings.filterwarnings("ignore", message=".*given NumPy array is not writable.*")
        self._interop_threads_set = False

    def version(self) -> str:
        return str(torch.__version__)

    def devices(self) -> List[str]:
        return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

    def build_information(self) -> Dict[str, str]:
        return {
            "cuda": str(torch.version.cuda or "none"),
            "mkl": str(torch.backends.mkl.is_available()),
            "mkldnn": str(torch.backends.mkldnn.is_available()),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }

    def load(self, request: LoadRequest) -> LoadedModel:
        """Load a program whose archive holds data alone.

        ``fp32`` wants fp32 weights. ``bf16`` and ``fp16`` are automatic mixed precision over fp32 weights.
        ``framework_default`` takes any weights, and is resolved to what they are.
        """
        if request.device == "cuda" and not torch.cuda.is_available():
            raise Unsupported("this PyTorch finds no CUDA device")
        if request.device not in ("cpu", "cuda"):
            raise Unsupported("no device " + request.device)
        if request.precision not in _PRECISIONS[request.device]:
            raise Unsupported("no {} on {}".format(request.precision, request.device))
        self._set_threads(request)
        # TensorFloat-32 and bfloat16 stand-ins for fp32 products; PyTorch's default lets cuDNN take the former.
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = request.precision == "framework_default"
        path = request.files["model"]
        file_name = os.path.basename(path)
        if not zipfile.is_zipfile(path):
            raise RuntimeError(
                "{}: neither an exported program (.pt2) nor TorchScript (.pt); "
                "save with torch.export.save or torch.jit.save".format(file_name)
            )
        with zipfile.ZipFile(path) as archive:
            # PyTorch puts everything into one folder, whose name says nothing.
            entries = [name.split("/", 1)[-1] for name in archive.namelist()]
        if "archive_format" in entries:
            program = self._load_exported(file_name, entries, request)
        elif "constants.pkl" in entries:
            program = self._load_script(file_name, request)
        else:
            raise RuntimeError(
                "{}: a pickled object, which runs code when loaded; "
                "save with torch.export.save or torch.jit.save".format(file_name)
            )
        asked = [description.name for description in request.inputs]
        for name in asked:
            if name not in program.arguments:
                raise NoSuchName(file_name, "input", name, program.arguments)
        if set(asked) != set(program.arguments):
            raise ValueError(
                "{}: inputs {} asked for; the model has {}".format(file_name, sorted(asked), program.arguments)
            )
        model = _Model(program, request)
        model.resolved = {
            "precision": program.held if request.precision == "framework_default" else request.precision,
            "tensor_float_32": bool(torch.backends.cudnn.allow_tf32) and request.device == "cuda",
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
            "precision_method": "autocast" if request.precision in _AUTOCAST else "as the file states",
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "compile": bool(request.options.get("compile", False)),
        }
        return model

    def _set_threads(self, request: LoadRequest) -> None:
        """Threads within an operator as asked; one between operators, whose number PyTorch takes once a process."""
        if request.threads is None:
            return
        torch.set_num_threads(request.threads)
        if not self._interop_threads_set:  # PyTorch allows it once a process
            torch.set_num_interop_threads(1)
            self._interop_threads_set = True
        if torch.get_num_threads() != request.threads:
            raise Unsupported(
                "{} threads were asked for and PyTorch takes {}".format(request.threads, torch.get_num_threads())
            )

    def _load_exported(self, file_name: str, entries: List[str], request: LoadRequest) -> _Program:
        """A ``.pt2``, refused where its archive holds more than weights and graphs."""
        for entry in entries:
            if not _DATA_ENTRY.fullmatch(entry):
                raise RuntimeError("{}: holds {}, which may run code when loaded".format(file_name, entry))
        try:
            exported = torch.export.load(request.files["model"])
            if request.device == "cuda":
                exported = torch.export.passes.move_to_device_pass(exported, "cuda")
            module = exported.module()
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        held = _held(file_name, module, request)
        names = [str(name) for name in exported.graph_signature.user_inputs]
        positional, keyword = exported.call_spec.in_spec.children()
        if keyword.num_leaves or len(positional.children()) != len(names):
            raise RuntimeError("{}: takes keyword or nested arguments; export it with plain tensors".format(file_name))
        if request.options.get("compile", False):
            compiled = torch.compile(module, dynamic=True)
            return _Program(compiled, compiled, names, "torch.compile", module, held)
        return _Program(module, module.forward, names, "GraphModule.forward", module, held)

    def _load_script(self, file_name: str, request: LoadRequest) -> _Program:
        """A TorchScript file, frozen: weights become constants that the graph is optimised around."""
        if request.precision in _AUTOCAST:
            raise Unsupported("{}: TorchScript is run as it is; {} takes a .pt2".format(file_name, request.precision))
        if request.options.get("compile", False):
            raise Unsupported("{}: option compile takes a .pt2".format(file_name))
        try:
            # freeze() takes modules in evaluation mode alone.
            module = torch.jit.load(request.files["model"], map_location=request.device).eval()
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        held = _held(file_name, module, request)
        # The first is the module itself.
        names = [argument.name for argument in module.forward.schema.arguments[1:]]
        module = torch.jit.freeze(module)
        return _Program(module, module.forward, names, "ScriptModule.forward", module, held)


def _held(file_name: str, module: Any, request: LoadRequest) -> str:
    """The precision of the weights, which must be fp32 unless the framework's default is asked for."""
    held = set()
    for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
        if tensor.is_floating_point() and tensor.numel():
            held.add(_HELD.get(tensor.dtype, str(tensor.dtype)))
            if tensor.dtype != torch.float32 and request.precision != "framework_default":
                raise Unsupported("{}: {} is {}; the file is not fp32".format(file_name, name, tensor.dtype))
    return " and ".join(sorted(held)) or "as the file states"


def _array(tensor: Any) -> numpy.ndarray:
    if tensor.dtype == torch.bfloat16:  # numpy has no such type, and every bfloat16 is a float32
        tensor = tensor.float()
    return numpy.ascontiguousarray(tensor.cpu().numpy())


def _one_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split("This is an internal miniz error.")[0].split())[:600]
