"""ONNX Runtime: an ``InferenceSession`` on one execution provider.

It computes in the types the file holds, unless a graph optimisation or a provider decides otherwise, so the precision
is read from the file and, where that can be done, from the graph it was rewritten to.
"""

import ast
import json
import os
import shutil
import statistics
import tempfile
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy
import onnxruntime

from pytest_mlscope.host.onnx_file import NotOnnx, OnnxContent, onnx_content
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

_OPTIMIZATIONS = {
    "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_EXECUTION_MODES = {
    "sequential": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
    "parallel": onnxruntime.ExecutionMode.ORT_PARALLEL,
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}  # the remaining element types are called alike in ONNX and numpy
_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_DEQUANTISED = {"QuantizeLinear", "DequantizeLinear"}  # alone they are computed around, in floating point
# Its warnings, such as one for each initialiser that a file does not need, are of no use to whoever runs a model.
_ERRORS_ONLY = 3
# Providers that compute on the CPU with threads of their own, and their option for how many.
_OWN_THREADS = {"OpenVINOExecutionProvider": "num_of_threads", "XnnpackExecutionProvider": "intra_op_num_threads"}
_WHOLE = ("CPUExecutionProvider", "CUDAExecutionProvider")  # what these leave to the CPU is bookkeeping on shapes


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600]


def _choice(options: Any, name: str, choices: Dict[str, Any], default: str) -> str:
    value = options.get(name, default)
    if value not in choices:
        raise ValueError("option {}: {!r} is not one of {}".format(name, value, ", ".join(choices)))
    return str(value)


def _provider_options(options: Any) -> Dict[str, str]:
    """Of ``device_type=CPU; precision=FP32``; the provider knows the names."""
    found = {}
    for part in str(options.get("provider_options", "")).split(";"):
        name, sign, value = part.partition("=")
        if part.strip() and not (sign and name.strip()):
            raise ValueError("option provider_options: {!r} is not NAME=VALUE".format(part.strip()))
        if sign:
            found[name.strip()] = value.strip()
    return found


def _dtype(element_type: str) -> Any:
    name = _DTYPES.get(element_type, element_type[len("tensor(") : -1])
    # A type numpy lacks, such as bfloat16, is left for ONNX Runtime to check.
    return numpy.dtype(getattr(numpy, name, object))


def _agrees(stated: Any, shape: Tuple[int, ...]) -> bool:
    """Whether a shape is one of those that the file states; names and ``None`` stand for any size."""
    return stated is None or (
        len(stated) == len(shape)
        and all(not isinstance(size, int) or size == given for size, given in zip(stated, shape))
    )


def _takes(session: Any, request: LoadRequest) -> List[Any]:
    """The inputs, and those of the initializers with a default that are given a value."""
    asked = {description.name for description in request.inputs}
    overridden = [value for value in session.get_overridable_initializers() if value.name in asked]
    return list(session.get_inputs()) + overridden


def _content(request: LoadRequest) -> Optional[OnnxContent]:
    """What the file holds; ``None`` where only ONNX Runtime can read it, such as its own format, or nothing can."""
    try:
        return onnx_content(request.files["model"])
    except NotOnnx:
        return None


def _check_content(content: Optional[OnnxContent], request: LoadRequest) -> None:
    """ONNX Runtime computes in the types the file states, so what is asked for must be there."""
    if content is None or request.precision in (content.precision, "framework_default"):
        return
    raise Unsupported(
        "{}: holds {}, not {}".format(os.path.basename(request.files["model"]), content, request.precision),
        holds=content.precision if content.precision in _PRECISIONS else "framework_default",
    )


def _layers(events: List[Dict[str, Any]], runs: int) -> List[Layer]:
    """Layers of the last ``runs`` predictions among Chrome's trace events, in the order of their first start."""
    predictions = [event for event in events if event["name"] == "model_run"]
    spans = sorted((event["ts"], event["ts"] + event["dur"]) for event in predictions)[-runs:]
    nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    nodes.sort(key=lambda event: int(event["ts"]))
    first: Dict[Any, Dict[str, Any]] = {}
    times: Dict[Any, List[int]] = {}
    for place, (start, stop) in enumerate(spans):
        for event in nodes:
            if start <= event["ts"] <= stop:
                key = (event["name"], event["args"].get("node_index"))
                first.setdefault(key, event)
                # A node of a loop's body runs several times a prediction.
                times.setdefault(key, [0] * len(spans))[place] += event["dur"]
    layers = []
    for key, event in first.items():
        arguments = event["args"]
        median = statistics.median(times[key])
        layers.append(
            Layer(
                event["name"][: -len("_kernel_time")] or arguments["op_name"],
                arguments["op_name"],
                median / 1e6 or None,
                _shape(arguments.get("output_type_shape")),
                int(arguments["output_size"]) if "output_size" in arguments else None,
            )
        )
    return layers


def _shape(described: Any) -> Optional[List[int]]:
    """Of ``[{'float': [4, 10]}]``, which some releases write as text."""
    shapes = ast.literal_eval(described) if isinstance(described, str) else described
    return [int(size) for size in next(iter(shapes[0].values()))] if shapes else None


def _with_arguments(method: Any, *arguments: Any) -> Callable[[], Any]:
    """The call of a method, without the frame of a function around it, which is 0.5 % of a call of 7 µs."""
    function: Any = getattr(method, "__func__", None)
    code = getattr(function, "__code__", None)
    if code is None or code.co_argcount != 1 + len(arguments) or code.co_kwonlyargcount:
        return lambda: method(*arguments)
    defaults = (method.__self__,) + arguments
    return types.FunctionType(code, function.__globals__, code.co_name, defaults, function.__closure__)


class _Model(LoadedModel):
    """A session; plain prediction is ``run``, which returns new arrays, and the timed one ``run_with_iobinding``."""

    returns_new_arrays = True

    def __init__(
        self, session: Any, request: LoadRequest, resolved: Dict[str, Any], profiled: Callable[[str], Any]
    ) -> None:
        self._session = session
        self._profiled = profiled
        self._file_name = os.path.basename(request.files["model"])
        self._dtypes = {value.name: _dtype(value.type) for value in _takes(session, request)}
        self._outputs = list(request.outputs)
        self._stated = {value.name: value.shape for value in session.get_outputs()}
        self._on_cuda = resolved["provider"] == "CUDAExecutionProvider"
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """``InferenceSession.run``, which copies inputs to the device and outputs back."""
        self._check(inputs)
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, inputs)))
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def bind(self, inputs: Tensors) -> Bound:
        """IOBinding, with every output's memory allocated beforehand at the shape a first prediction shows.

        It is the fastest path, 12.2 µs against 15.6 µs of ``run`` on a small model. On CUDA inputs and outputs stay on
        the device, and ``synchronize_outputs`` waits for it within the time measured.
        """
        shown = self.predict(inputs)
        device = "cuda" if self._on_cuda else "cpu"
        arrays = {name: numpy.ascontiguousarray(array) for name, array in inputs.items()}
        binding = self._session.io_binding()
        values: List[Any] = []
        for name, array in arrays.items():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)
            binding.bind_ortvalue_input(name, value)
            values.append(value)
        for name in self._outputs:
            example = shown[name]
            # Memory of another shape than the file states is refused, though a prediction may give that shape.
            if isinstance(example, numpy.ndarray) and example.size and _agrees(self._stated[name], example.shape):
                value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(example.shape), example.dtype, device, 0)
                binding.bind_ortvalue_output(name, value)
                values.append(value)
            else:
                binding.bind_output(name, device)
        run_on_cpu = _with_arguments(self._session.run_with_iobinding, binding, None)
        synchronize = binding.synchronize_outputs

        def run_on_cuda() -> None:
            run_on_cpu()
            synchronize()

        # The closure keeps `arrays` alive: on the CPU an OrtValue borrows the array's memory.
        def outputs(_kept: Any = (arrays, values)) -> Tensors:
            return {name: numpy.array(array) for name, array in zip(self._outputs, binding.copy_outputs_to_cpu())}

        run = run_on_cuda if self._on_cuda else run_on_cpu
        return Bound(run, outputs, "InferenceSession.run_with_iobinding")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """A session of its own writes a profile: microseconds a node, as whole numbers."""
        if self._on_cuda:
            raise Unsupported("ONNX Runtime times the launch of a CUDA kernel, not the kernel")
        self._check(inputs)
        folder = tempfile.mkdtemp(prefix="mlscope-profile-", dir=os.environ.get("MLSCOPE_SCRATCH"))
        try:
            session = self._profiled(os.path.join(folder, "onnxruntime"))
            for _ in range(runs + 1):  # the first one allocates
                session.run(self._outputs, inputs)
            with open(session.end_profiling(), encoding="utf-8") as stream:
                events = json.load(stream)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return _layers(events, runs)

    def unload(self) -> None:
        self._session = None

    def _check(self, inputs: Tensors) -> None:
        # ONNX Runtime checks names and types itself, but names neither the input nor numpy's types.
        if inputs.keys() != self._dtypes.keys():
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name] and not self._dtypes[name].hasobject:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))


class FrameworkPredictor(Predictor):
    """A device is an execution provider, by ONNX Runtime's name of it."""

    def version(self) -> str:
        return str(onnxruntime.__version__)

    def devices(self) -> List[str]:
        return list(onnxruntime.get_available_providers())

    def build_information(self) -> Dict[str, str]:
        return {
            "build": onnxruntime.get_build_info(),
            "providers": ", ".join(onnxruntime.get_available_providers()),
        }

    def load(self, request: LoadRequest) -> LoadedModel:
        """Start a session on exactly the provider that was asked for, and tell what it computes in.

        ``fp32``, ``fp16``, ``bf16`` and ``int8`` mean that the file holds them and that they are computed in; anything
        else is ``Unsupported``, and its ``holds`` names the precision to ask for.
        """
        provider = request.device
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise Unsupported("this onnxruntime has no {}; it has {}".format(provider, ", ".join(available)))
        if request.precision not in _PRECISIONS + ("framework_default",):
            raise Unsupported("ONNX Runtime has no " + request.precision)
        content = _content(request)
        _check_content(content, request)
        session, computed = self._computing(request, provider, content)
        # A provider that does not start is replaced by the CPU's without an error.
        obtained = session.get_providers()[0]
        if obtained != provider:
            raise Unsupported("{} could not be started; ONNX Runtime fell back to {}".format(provider, obtained))
        self._check(session, request)
        settings = session.get_session_options()
        resolved = {
            "precision": computed or "as the file states",
            "file_precision": str(content or "not known"),
            "threads": settings.intra_op_num_threads or None,
            "inter_op_threads": settings.inter_op_num_threads or None,
            "provider": obtained,
            "graph_optimization": settings.graph_optimization_level.name,
            "execution_mode": settings.execution_mode.name,
        }
        return _Model(session, request, resolved, lambda prefix: self._session(request, provider, prefix))

    def _computing(
        self, request: LoadRequest, provider: str, content: Optional[OnnxContent]
    ) -> Tuple[Any, Optional[str]]:
        """A session, and the precision that it computes in, where that can be read back."""
        file_name = os.path.basename(request.files["model"])
        if content is None or content.precision in ("fp32", "fp64") or provider not in _WHOLE:
            # Of execution providers that compile the graph, what they make of it cannot be read back.
            session = self._session(request, provider)
            if content is None and request.precision != "framework_default":
                raise Unsupported(file_name + ": what precision it holds is not known", holds="framework_default")
            return session, content.precision if content is not None else None
        folder = tempfile.mkdtemp(prefix="mlscope-", dir=os.environ.get("MLSCOPE_SCRATCH"))
        try:
            optimised = os.path.join(folder, "optimised.onnx")
            session = self._session(request, provider, optimised=optimised)
            made = onnx_content(optimised)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        computed = "fp32" if set(made.evidence) <= _DEQUANTISED else made.precision
        if request.precision not in (computed, "framework_default"):
            raise Unsupported(
                "onnxruntime computes {}, which holds {}, in {} with {}: no {} here".format(
                    file_name, content, computed, provider, request.precision
                )
            )
        return session, computed

    def _session(self, request: LoadRequest, provider: str, profile_prefix: str = "", optimised: str = "") -> Any:
        """A new session.

        :param profile_prefix: where to write a profile; empty for none.
        :param optimised: where to write the graph as it was rewritten; empty for nowhere.
        """
        path = request.files["model"]
        options = request.options
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _ERRORS_ONLY
        if profile_prefix:
            settings.enable_profiling = True
            settings.profile_file_prefix = profile_prefix
        if optimised:
            settings.optimized_model_filepath = optimised
            # Beside the file, for one with all weights may have 2 GiB at most.
            settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
            settings.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        settings.graph_optimization_level = _OPTIMIZATIONS[
            _choice(options, "graph_optimization", _OPTIMIZATIONS, "all")
        ]
        settings.execution_mode = _EXECUTION_MODES[_choice(options, "execution_mode", _EXECUTION_MODES, "sequential")]
        if request.threads is not None:
            settings.intra_op_num_threads = request.threads
            settings.inter_op_num_threads = int(options.get("inter_op_threads", 1))
        spinning = "1" if options.get("allow_spinning", True) else "0"
        settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
        settings.add_session_config_entry("session.inter_op.allow_spinning", spinning)
        # TensorFloat-32 rounds fp32 products to 10 bits of mantissa; ONNX Runtime's default is to allow it.
        tf32 = {"use_tf32": "0"} if provider == "CUDAExecutionProvider" and request.precision == "fp32" else {}
        elsewhere = provider not in _WHOLE
        if elsewhere and not options.get("cpu_fallback", False):
            settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        threads = {}
        if request.threads is not None and provider in _OWN_THREADS:
            threads = {_OWN_THREADS[provider]: str(request.threads)}
        providers = [(provider, dict(tf32, **dict(threads, **_provider_options(options))))]
        try:
            return onnxruntime.InferenceSession(path, settings, providers=providers)
        except Exception as error:
            if elsewhere and "fallback to CPU EP" in str(error):
                raise Unsupported(
                    "{} cannot run every node of {}; option cpu_fallback: true lets the CPU run the others".format(
                        provider, os.path.basename(path)
                    )
                ) from None
            if request.precision != "fp32" and "NOT_IMPLEMENTED" in str(error):
                raise Unsupported("{}: {}".format(os.path.basename(path), _one_line(error))) from None
            raise RuntimeError("{}: {}".format(os.path.basename(path), _one_line(error))) from None

    def _check(self, session: Any, request: LoadRequest) -> None:
        """Refuse unknown names, and outputs that are no tensors of numbers."""
        file_name = os.path.basename(request.files["model"])
        inputs = {value.name: value.type for value in _takes(session, request)}
        outputs = {value.name: value.type for value in session.get_outputs()}
        for what, asked, present in (
            ("input", [description.name for description in request.inputs], inputs),
            ("output", request.outputs, outputs),
        ):
            for name in asked:
                if name not in present:
                    raise NoSuchName(file_name, what, name, present)
        for description in request.inputs:
            if inputs[description.name] == "tensor(string)":
                raise Unsupported(
                    "{}: input {!r} takes text, and a manifest's inputs are numbers; export the model without the part "
                    "that turns text into numbers".format(file_name, description.name)
                )
        for name in request.outputs:
            if not outputs[name].startswith("tensor("):
                tensors = sorted(each for each, kind in outputs.items() if kind.startswith("tensor("))
                raise Unsupported(
                    "{}: output {!r} is {}, not a tensor; export the model with tensors only (skl2onnx: "
                    "options={{'zipmap': False}}), or name another output{}".format(
                        file_name, name, outputs[name], ": " + ", ".join(tensors) if tensors else ""
                    )
                )
            if outputs[name] == "tensor(string)":
                # No metric reads text, and reading a bound text output ends the process.
                raise Unsupported(
                    "{}: output {!r} is text, which cannot be scored or timed; leave it out of the manifest and use an "
                    "output of numbers".format(file_name, name)
                )
            # ONNX Runtime hands out their bits as uint8, which would be read as numbers.
            if outputs[name].startswith("tensor(float8") or outputs[name].startswith("tensor(float4"):
                raise Unsupported(
                    "{}: output {!r} is a {}, for which numpy has no type; add a Cast to float to the model".format(
                        file_name, name, outputs[name]
                    )
                )
        missing = sorted(set(inputs) - {description.name for description in request.inputs})
        if missing:
            raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
