"""OpenVINO: a model compiled for one device, with one stream.

Left alone it computes in bf16 or fp16 on processors that have it, so the precision is always stated as a hint and then
read back from the execution graph.
"""

import os
from typing import Any, Callable, Dict, List

import numpy
import openvino

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

_WARMUP_CALLS = 3
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}  # the last for what is not quantised
_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "dynamic": "as the file states"}
_QUANTISED = {"u8", "i8", "u4", "i4"}
_PRODUCTS = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq"}
"""Layers that make up a network's work: what these run in is its precision."""


def _one_line(error: BaseException) -> str:
    # The first lines of an OpenVINO message are positions in its own source code.
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    return " ".join(" ".join(lines).split())[:600]


class _Model(LoadedModel):
    """A compiled model, with an infer request for plain prediction; each bound batch has a request of its own."""

    def __init__(
        self,
        request: LoadRequest,
        inputs: Dict[str, int],
        outputs: Dict[str, int],
        compiled: Any,
        profiled: Callable[[], Any],
    ) -> None:
        self._profiled = profiled
        self._file_name = os.path.basename(request.files["model"])
        self._compiled = compiled
        self._inputs = inputs
        self._outputs = {name: outputs[name] for name in request.outputs}
        self._request = compiled.create_infer_request()
        self._dtypes = {name: compiled.input(index).element_type.to_dtype() for name, index in inputs.items()}
        self.resolved = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """One inference on the request's tensors; outputs are copied, since the next one writes to the same memory."""
        request = self._request
        self._set(request, inputs)
        try:
            request.infer(None, False, True)
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        return {name: numpy.array(request.get_output_tensor(index).data) for name, index in self._outputs.items()}

    def bind(self, inputs: Tensors) -> Bound:
        """A request of its own whose input tensors borrow the arrays' memory.

        ``infer`` without arguments uses them as they are, so that no call copies an input or an output. It returns when
        the device has finished.
        """
        request = self._compiled.create_infer_request()
        kept = self._set(request, inputs)
        infer = request.infer
        self.predict(inputs)  # an error shows here with its name, not in the timed loop

        def run() -> None:
            # Shared outputs: results stay in the request's tensors and are not copied.
            infer(None, False, True)

        def outputs(_kept: Any = kept) -> Tensors:
            return {name: numpy.array(request.get_output_tensor(index).data) for name, index in self._outputs.items()}

        return Bound(run, outputs, "InferRequest.infer")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """A model compiled apart, with counters: OpenVINO keeps each node's mean over all calls, in whole
        microseconds. Those of the first calls, in which it prepares itself, are taken out again.
        """
        compiled = self._profiled()
        request = compiled.create_infer_request()
        kept = self._set(request, inputs)
        for _ in range(_WARMUP_CALLS):
            request.infer(None, False, True)
        before = {node.node_name: node.real_time.total_seconds() for node in request.get_profiling_info()}
        for _ in range(runs):
            request.infer(None, False, True)
        shapes = {
            operation.get_friendly_name(): list(operation.output(0).shape)
            for operation in compiled.get_runtime_model().get_ordered_ops()
            if operation.get_output_size() and operation.output(0).partial_shape.is_static
        }
        layers = []
        for node in request.get_profiling_info():
            if node.status != openvino.ProfilingInfo.Status.EXECUTED:
                continue  # fused into another, or nothing to do
            total = node.real_time.total_seconds() * (_WARMUP_CALLS + runs)
            mean = (total - before.get(node.node_name, 0.0) * _WARMUP_CALLS) / runs
            seconds = mean if mean > 0 else None
            layers.append(Layer(node.node_name, node.node_type, seconds, shapes.get(node.node_name)))
        # Only now: OpenVINO borrows the arrays' memory.
        del kept
        return layers

    def unload(self) -> None:
        self._request = None
        self._compiled = None

    def _set(self, request: Any, inputs: Tensors) -> Any:
        """Give the inputs to a request; what is returned holds their memory, and must live as long as the request."""
        if set(inputs) != set(self._inputs):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._inputs)))
        kept = []
        for name, index in self._inputs.items():
            array = inputs[name]
            if array.dtype != self._dtypes[name]:
                raise ValueError(
                    "input {!r} is {}; the model wants {}".format(name, array.dtype, numpy.dtype(self._dtypes[name]))
                )
            if not (array.flags.c_contiguous and array.flags.writeable):
                array = numpy.array(array, order="C")  # OpenVINO borrows only memory of this kind
            try:
                request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
            except Exception as error:
                raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
            kept.append(array)
        return kept


class FrameworkPredictor(Predictor):
    """A device is OpenVINO's own name of it, such as ``CPU``."""

    def __init__(self) -> None:
        self._core = openvino.Core()

    def version(self) -> str:
        # openvino.__version__ also carries build number, commit and branch.
        return str(openvino.__version__).split("-")[0]

    def devices(self) -> List[str]:
        return list(self._core.available_devices)

    def build_information(self) -> Dict[str, str]:
        return {"build": openvino.get_version(), "devices": ", ".join(self._core.available_devices)}

    def load(self, request: LoadRequest) -> LoadedModel:
        """Compile the model for latency, in one stream.

        ``fp32``, ``bf16`` and ``fp16`` are precision hints. ``int8`` takes a file with quantisation in it; what is not
        quantised there runs in fp32. A hint that OpenVINO does not follow on this processor is ``Unsupported``.
        """
        file_name = os.path.basename(request.files["model"])
        if request.device not in self._core.available_devices:
            raise Unsupported(
                "OpenVINO finds no {} here; it finds {}".format(request.device, ", ".join(self._core.available_devices))
            )
        if request.precision not in _HINTS and request.precision != "framework_default":
            raise Unsupported("OpenVINO has no hint for " + request.precision)
        pinning = bool(request.options.get("cpu_pinning", False))
        settings: Dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": pinning,
        }
        if request.precision in _HINTS:
            settings["INFERENCE_PRECISION_HINT"] = _HINTS[request.precision]
            settings["EXECUTION_MODE_HINT"] = "ACCURACY" if request.precision == "fp32" else "PERFORMANCE"
        if request.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = request.threads
        try:
            source = self._core.read_model(request.files["model"], request.files.get("weights", ""))
            compiled = self._core.compile_model(source, request.device, settings)
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        inputs = _indices(compiled.inputs)
        outputs = _indices(compiled.outputs)
        chosen_inputs = _choose(file_name, "input", [description.name for description in request.inputs], inputs)
        if len(set(chosen_inputs.values())) != len(compiled.inputs):
            missing = sorted(name for name, index in inputs.items() if index not in chosen_inputs.values())
            raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
        chosen_outputs = _choose(file_name, "output", request.outputs, outputs)

        def profiled() -> Any:
            source = self._core.read_model(request.files["model"], request.files.get("weights", ""))
            return self._core.compile_model(source, request.device, dict(settings, PERF_COUNT="YES"))

        model = _Model(request, chosen_inputs, chosen_outputs, compiled, profiled)
        model.resolved = self._resolved(request, compiled)
        return model

    def _resolved(self, request: LoadRequest, compiled: Any) -> Dict[str, Any]:
        """Read back what was resolved; OpenVINO replaces what it cannot give without saying so."""
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        precision = _PRECISIONS.get(hint, hint)
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        if request.precision != "framework_default" and hint != _HINTS[request.precision]:
            raise Unsupported(
                "{} was asked for and OpenVINO resolved it to {} on this processor".format(request.precision, precision)
            )
        executed = _executed(compiled)
        if executed:
            kinds = {"int8" if name in _QUANTISED else _PRECISIONS.get(name, name) for name in executed}
            # fp32 beside another is what that other one leaves over.
            precision = " and ".join(sorted(kinds - {"fp32"}, reverse=True)) or "fp32"
        # A graph without products has nothing that could be quantised.
        elif request.precision == "int8":
            precision = "fp32"
        if request.precision not in (precision, "framework_default"):
            raise Unsupported(
                "{}: OpenVINO runs its convolutions and matrix products in {}, not {}".format(
                    os.path.basename(request.files["model"]), precision, request.precision
                ),
                holds=precision if precision in _HINTS else "framework_default",
            )
        if request.threads is not None and threads != request.threads:
            raise Unsupported("{} threads were asked for and OpenVINO takes {}".format(request.threads, threads))
        return {
            "precision": precision,
            "executed": ", ".join("{} in {}".format(count, name) for name, count in sorted(executed.items())),
            "threads": threads or None,
            "streams": compiled.get_property("NUM_STREAMS"),
            "cpu_pinning": compiled.get_property("ENABLE_CPU_PINNING"),
            "execution_devices": ", ".join(compiled.get_property("EXECUTION_DEVICES")),
        }


def _executed(compiled: Any) -> Dict[str, int]:
    """How many convolutions and matrix products run in which precision, as the execution graph states it."""
    counts: Dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if str(facts["layerType"].value) in _PRODUCTS:
            name = str(facts["runtimePrecision"].value)
            counts[name] = counts.get(name, 0) + 1
    return counts


def _indices(ports: Any) -> Dict[str, int]:
    """Name to index; a port may have several names."""
    return {name: index for index, port in enumerate(ports) for name in sorted(port.names)}


def _choose(file_name: str, what: str, asked: Any, present: Dict[str, int]) -> Dict[str, int]:
    for name in asked:
        if name not in present:
            raise NoSuchName(file_name, what, name, present)
    return {name: present[name] for name in asked}
