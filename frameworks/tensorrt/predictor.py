"""TensorRT: an engine built from an ONNX file, for the GPU at hand and the batch size of the case.

CUDA is reached through the driver's C interface, so that TensorRT needs no other Python package beside it.
"""

import collections
import ctypes
import gc
import json
import os
import statistics
from typing import Any, Dict, List, Optional, Tuple

import numpy
import tensorrt

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

_DTYPES = {
    tensorrt.DataType.FLOAT: "float32",
    tensorrt.DataType.HALF: "float16",
    tensorrt.DataType.BF16: "uint16",  # its bits: numpy has no such type
    tensorrt.DataType.INT8: "int8",
    tensorrt.DataType.INT32: "int32",
    tensorrt.DataType.INT64: "int64",
    tensorrt.DataType.UINT8: "uint8",
    tensorrt.DataType.BOOL: "bool",
}
_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: the legacy default stream does not wait for it

_HANDLE = ctypes.c_void_p
_ADDRESS = ctypes.c_uint64
_DRIVER_FUNCTIONS: Dict[str, List[Any]] = {
    "cuInit": [ctypes.c_uint],
    "cuDriverGetVersion": [ctypes.POINTER(ctypes.c_int)],
    "cuGetErrorString": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
    "cuDeviceGetCount": [ctypes.POINTER(ctypes.c_int)],
    "cuDeviceGet": [ctypes.POINTER(ctypes.c_int), ctypes.c_int],
    "cuDeviceGetName": [ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    "cuDevicePrimaryCtxRetain": [ctypes.POINTER(_HANDLE), ctypes.c_int],
    "cuCtxSetCurrent": [_HANDLE],
    "cuStreamCreate": [ctypes.POINTER(_HANDLE), ctypes.c_uint],
    "cuStreamSynchronize": [_HANDLE],
    "cuStreamDestroy_v2": [_HANDLE],
    "cuMemAlloc_v2": [ctypes.POINTER(_ADDRESS), ctypes.c_size_t],
    "cuMemFree_v2": [_ADDRESS],
    "cuMemcpyHtoD_v2": [_ADDRESS, _HANDLE, ctypes.c_size_t],
    "cuMemcpyDtoH_v2": [_HANDLE, _ADDRESS, ctypes.c_size_t],
}
"""Arguments of what is used of the CUDA driver's interface; each function returns a ``CUresult``, 0 for success."""


class _Driver(object):
    """The CUDA driver and its first device. TensorRT works in the same context, the device's primary one."""

    def __init__(self) -> None:
        """:raises Unsupported: when there is no driver, or no device that it can use."""
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            raise Unsupported("there is no NVIDIA driver here: libcuda.so.1 is not found") from None
        # Without types ctypes passes integers of 32 bits, and addresses have 64.
        for name, arguments in _DRIVER_FUNCTIONS.items():
            function = getattr(self.library, name)
            function.argtypes = arguments
            function.restype = ctypes.c_int
        status = self.library.cuInit(0)
        if status:
            raise Unsupported("the NVIDIA driver does not start: {}".format(self._error(status)))
        count = ctypes.c_int()
        status = self.library.cuDeviceGetCount(ctypes.byref(count))
        if status or not count.value:
            why = self._error(status) if status else "it lists none"
            raise Unsupported("the NVIDIA driver has no GPU: {}".format(why))
        device = ctypes.c_int()
        self("cuDeviceGet", ctypes.byref(device), 0)
        device_name = ctypes.create_string_buffer(256)
        self("cuDeviceGetName", device_name, len(device_name), device.value)
        self.device_name = device_name.value.decode("utf-8", "replace")
        release = ctypes.c_int()
        self("cuDriverGetVersion", ctypes.byref(release))
        self.cuda = "{}.{}".format(release.value // 1000, release.value % 1000 // 10)
        context = _HANDLE()
        self("cuDevicePrimaryCtxRetain", ctypes.byref(context), device.value)
        self("cuCtxSetCurrent", context)

    def __call__(self, name: str, *arguments: Any) -> None:
        """:raises RuntimeError: when the driver refuses."""
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError("{}: {}".format(name, self._error(status)))

    def _error(self, status: int) -> str:
        text = ctypes.c_char_p()
        self.library.cuGetErrorString(status, ctypes.byref(text))
        return text.value.decode("utf-8", "replace") if text.value else "CUresult {}".format(status)


class _Memory(object):
    """Memory on the device, freed with the object."""

    def __init__(self, driver: _Driver, size: int) -> None:
        self._driver = driver
        self.size = size
        address = _ADDRESS()
        # The driver refuses to allocate nothing.
        driver("cuMemAlloc_v2", ctypes.byref(address), max(size, 1))
        self.address: int = address.value

    def __del__(self) -> None:
        # It is missing where allocating it failed.
        address = self.__dict__.pop("address", 0)
        if address:
            self._driver.library.cuMemFree_v2(address)


class _Stream(object):
    """A CUDA stream, destroyed with the object."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        handle = _HANDLE()
        driver("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        self.handle: int = handle.value or 0

    def __del__(self) -> None:
        handle = self.__dict__.pop("handle", 0)
        if handle:
            self._driver.library.cuStreamDestroy_v2(handle)


class _Log(tensorrt.ILogger):  # type: ignore[misc]  # tensorrt has no type hints
    """Keeps the latest errors, which are all that TensorRT tells of a failure."""

    def __init__(self) -> None:
        tensorrt.ILogger.__init__(self)
        # The latest few: TensorRT may log many lines, and the last ones are nearest the failure.
        self._errors: Any = collections.deque(maxlen=4)

    def log(self, severity: Any, message: str) -> None:
        if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
            self._errors.append(" ".join(message.split()))

    def take(self) -> str:
        """The errors since the last time, in one line."""
        text = "; ".join(self._errors)
        self._errors.clear()
        return text[:600] or "TensorRT does not say why"


class _Profiler(tensorrt.IProfiler):  # type: ignore[misc]  # likewise
    """Collects what TensorRT reports of each layer, in seconds."""

    def __init__(self) -> None:
        tensorrt.IProfiler.__init__(self)
        self.times: List[Tuple[str, float]] = []

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        self.times.append((layer_name, ms * 1e-3))


class _Session(object):
    """An execution context with memory of its own for every input and output."""

    def __init__(self, driver: _Driver, engine: Any, log: _Log, file_name: str) -> None:
        self._driver = driver
        self._engine = engine
        self._log = log
        self._file_name = file_name
        self.context = engine.create_execution_context()
        if self.context is None:
            raise RuntimeError("{}: no execution context: {}".format(file_name, log.take()))
        # The engine carries its layers' details for the profile; as NVTX ranges they would cost time at every call.
        self.context.nvtx_verbosity = tensorrt.ProfilingVerbosity.NONE
        self._stream = _Stream(driver)
        self._memories: Dict[str, _Memory] = {}
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._inputs = [name for name in names if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in self._inputs]

    def set(self, inputs: Tensors) -> None:
        """Copy the inputs to the device, and make room for outputs of the shapes that follow from them."""
        context = self.context
        for name, array in inputs.items():
            if not context.set_input_shape(name, tuple(array.shape)):
                raise RuntimeError("{}: input {!r}: {}".format(self._file_name, name, self._log.take()))
            self._driver("cuMemcpyHtoD_v2", self._place(name, array.nbytes).address, array.ctypes.data, array.nbytes)
        try:
            unknown = context.infer_shapes()
        except RuntimeError as error:
            raise RuntimeError("{}: {}; {}".format(self._file_name, error, self._log.take())) from None
        if unknown:
            raise RuntimeError("{}: nothing tells the shape of {}".format(self._file_name, ", ".join(unknown)))
        for name in self._outputs:
            shape = tuple(context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise Unsupported(
                    "{}: the shape of output {!r} depends on the input's content".format(self._file_name, name)
                )
            dtype = numpy.dtype(_DTYPES[self._engine.get_tensor_dtype(name)])
            self._place(name, int(numpy.prod(shape, dtype=numpy.int64)) * dtype.itemsize)

    def _place(self, name: str, size: int) -> _Memory:
        memory = self._memories.get(name)
        if memory is None or memory.size < size:
            memory = self._memories[name] = _Memory(self._driver, size)
        # Each time: memory that grew has another address.
        if not self.context.set_tensor_address(name, memory.address):
            raise RuntimeError("{}: {!r}: {}".format(self._file_name, name, self._log.take()))
        return memory

    def run(self) -> None:
        """Enqueue one prediction and wait until the device has finished."""
        if not self.context.execute_async_v3(self._stream.handle):
            raise RuntimeError("{}: {}".format(self._file_name, self._log.take()))
        self._driver("cuStreamSynchronize", self._stream.handle)

    def read(self, names: List[str]) -> Tensors:
        outputs = {}
        for name in names:
            kind = self._engine.get_tensor_dtype(name)
            array = numpy.empty(tuple(self.context.get_tensor_shape(name)), _DTYPES[kind])
            self._driver("cuMemcpyDtoH_v2", array.ctypes.data, self._memories[name].address, array.nbytes)
            if kind == tensorrt.DataType.BF16:  # every bfloat16 is the upper half of a float32
                array = (array.astype(numpy.uint32) << 16).view(numpy.float32)
            outputs[name] = array
        return outputs

    def timed(self) -> Any:
        """As :meth:`run`, with every look-up done."""
        enqueue, stream = self.context.execute_async_v3, self._stream.handle
        synchronize = self._driver.library.cuStreamSynchronize

        def run() -> None:
            if not enqueue(stream) or synchronize(stream):
                raise RuntimeError("{}: {}".format(self._file_name, self._log.take()))

        return run


class _Model(LoadedModel):
    """An engine, and a session for plain prediction; each bound batch has a session of its own."""

    returns_new_arrays = True

    def __init__(self, driver: _Driver, engine: Any, log: _Log, request: LoadRequest) -> None:
        self._driver = driver
        self._engine = engine
        self._log = log
        self._file_name = os.path.basename(request.files["model"])
        self._dtypes = {
            description.name: numpy.dtype(_DTYPES[engine.get_tensor_dtype(description.name)])
            for description in request.inputs
        }
        self._outputs = list(request.outputs)
        self._session: Optional[_Session] = self._new_session()
        self.resolved = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """Copy the inputs to the device, run, and copy the outputs back."""
        session = self._session
        if session is None:
            raise RuntimeError("{}: unloaded".format(self._file_name))
        session.set(self._checked(inputs))
        session.run()
        return session.read(self._outputs)

    def bind(self, inputs: Tensors) -> Bound:
        """A context of its own, with inputs and outputs that stay on the device.

        A call enqueues on a stream and waits for that stream, within the time measured.
        """
        session = self._new_session()
        session.set(self._checked(inputs))
        session.run()  # an error shows here with its name, not in the timed loop
        return Bound(session.timed(), lambda: session.read(self._outputs), "IExecutionContext.enqueueV3")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The engine's layers as TensorRT's profiler reports them; types and shapes are the engine inspector's."""
        session = self._new_session()
        session.set(self._checked(inputs))
        session.run()
        profiler = _Profiler()
        session.context.profiler = profiler
        profiles = []
        for _ in range(runs):
            profiler.times = []
            session.run()
            profiles.append(profiler.times)
        names = [name for name, _ in profiles[0]]
        if not names or any([name for name, _ in profile] != names for profile in profiles):
            raise Unsupported("{}: TensorRT's profiler tells another run each time".format(self._file_name))
        details = self._details(session.context)
        layers = []
        for place, name in enumerate(names):
            kind, shape = details.get(name, ("unknown", None))
            seconds = statistics.median(profile[place][1] for profile in profiles)
            layers.append(Layer(name, kind, seconds or None, shape))
        return layers

    def unload(self) -> None:
        self._session = None
        self._engine = None
        gc.collect()

    def _new_session(self) -> _Session:
        return _Session(self._driver, self._engine, self._log, self._file_name)

    def _details(self, context: Any) -> Dict[str, Tuple[str, Optional[List[int]]]]:
        """Layer name to its type and the shape of its first output, at the context's input shapes."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = context
        content = json.loads(inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON))
        details = {}
        for entry in content.get("Layers", []):
            if isinstance(entry, dict):
                outputs = entry.get("Outputs") or [{}]
                details[entry["Name"]] = (str(entry.get("LayerType", "unknown")), outputs[0].get("Dimensions"))
        return details

    def _checked(self, inputs: Tensors) -> Tensors:
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))
        return {name: numpy.ascontiguousarray(array) for name, array in inputs.items()}


class FrameworkPredictor(Predictor):
    """TensorRT on the first CUDA device, which one thread gives its work."""

    def __init__(self) -> None:
        self._log = _Log()
        self._driver: Optional[_Driver] = None

    def version(self) -> str:
        return str(tensorrt.__version__)

    def build_information(self) -> Dict[str, str]:
        try:
            driver = self._found_driver()
        except Unsupported as absent:
            return {"device": str(absent)}
        return {"device": driver.device_name, "driver_cuda": driver.cuda}

    def devices(self) -> Optional[List[str]]:
        try:
            self._found_driver()
        except Unsupported:
            return []
        return ["cuda"]

    def _found_driver(self) -> _Driver:
        if self._driver is None:
            self._driver = _Driver()
        return self._driver

    def load(self, request: LoadRequest) -> LoadedModel:
        """Build an engine, which takes seconds to minutes.

        Networks are strongly typed, so every precision is the one that the file states: ``fp16`` and ``bf16`` want
        16-bit tensors, ``int8`` wants QuantizeLinear and DequantizeLinear. TensorFloat-32 is off except at
        ``framework_default``.
        """
        if request.device != "cuda":
            raise Unsupported("TensorRT runs on NVIDIA GPUs; it has no device " + request.device)
        if request.threads not in (1, None):
            raise Unsupported("TensorRT is given its work by one thread, and {} were asked for".format(request.threads))
        level = request.options.get("builder_optimization_level", 3)
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 5:
            raise ValueError("option builder_optimization_level: {!r} is not one of 0 to 5".format(level))
        driver = self._found_driver()  # a Builder or Runtime that can be made is no proof of a device
        file_name = os.path.basename(request.files["model"])
        try:
            builder = tensorrt.Builder(self._log)
        except TypeError:
            raise Unsupported(
                "TensorRT {} cannot use this GPU and driver: {}".format(tensorrt.__version__, self._log.take())
            ) from None
        # The parser owns the weights until the engine is built.
        network, parser = self._parse(builder, request.files["model"])
        _check_names(file_name, network, request)
        stated, types = _stated_precision(network)
        if request.precision not in ("framework_default", stated):
            raise Unsupported(
                "TensorRT computes in the types the file states: {} is {} ({}), not {}".format(
                    file_name, stated, ", ".join(types), request.precision
                )
            )
        config = builder.create_builder_config()
        config.builder_optimization_level = level
        # TensorFloat-32 rounds fp32 products to 10 bits of mantissa; TensorRT's default is to allow it.
        if request.precision != "framework_default":
            config.clear_flag(tensorrt.BuilderFlag.TF32)
        # Without it the engine's inspector tells neither types nor shapes of layers.
        config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED
        profile = _optimization_profile(builder, file_name, network, request)
        if profile is not None and config.add_optimization_profile(profile) < 0:
            raise RuntimeError("{}: {}".format(file_name, self._log.take()))
        plan = builder.build_serialized_network(network, config)
        del parser
        if plan is None:
            raise RuntimeError("{}: no engine: {}".format(file_name, self._log.take()))
        engine = tensorrt.Runtime(self._log).deserialize_cuda_engine(plan)
        if engine is None:
            raise RuntimeError("{}: the engine does not load: {}".format(file_name, self._log.take()))
        model = _Model(driver, engine, self._log, request)
        model.resolved = {
            "precision": stated,
            "threads": 1,
            "types": ", ".join(types),
            "tf32": config.get_flag(tensorrt.BuilderFlag.TF32),
            "builder_optimization_level": config.builder_optimization_level,
        }
        return model

    def _parse(self, builder: Any, path: str) -> Tuple[Any, Any]:
        # Always so since TensorRT 11: every tensor has the type the file states.
        network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = tensorrt.OnnxParser(network, self._log)
        if not parser.parse_from_file(path) or not network.num_outputs:
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            text = " ".join("; ".join(errors).split())[:600] or self._log.take()
            raise RuntimeError("{}: not an ONNX file that TensorRT can read: {}".format(os.path.basename(path), text))
        return network, parser


def _check_names(file_name: str, network: Any, request: LoadRequest) -> None:
    """:raises ValueError: for names that the network does not have.
    :raises Unsupported: for tensors of a type that numpy lacks, and for tensors that hold shapes.
    """
    inputs = {network.get_input(index).name: network.get_input(index) for index in range(network.num_inputs)}
    outputs = {network.get_output(index).name: network.get_output(index) for index in range(network.num_outputs)}
    for what, asked, present in (
        ("input", [description.name for description in request.inputs], inputs),
        ("output", request.outputs, outputs),
    ):
        for name in asked:
            if name not in present:
                raise NoSuchName(file_name, what, name, present)
    missing = sorted(set(inputs) - {description.name for description in request.inputs})
    if missing:
        raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
    for name, tensor in list(inputs.items()) + list(outputs.items()):
        if tensor.is_shape_tensor:
            raise Unsupported("{}: {!r} holds shapes, which this predictor does not pass".format(file_name, name))
        if tensor.dtype not in _DTYPES or (tensor.dtype == tensorrt.DataType.BF16 and name in inputs):
            raise Unsupported("{}: {!r} is {}, which numpy lacks".format(file_name, name, tensor.dtype.name))


def _stated_precision(network: Any) -> Tuple[str, List[str]]:
    """What a network computes in, by the narrowest of its types, and all of these types' names."""
    found = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for number in range(layer.num_outputs):
            tensor = layer.get_output(number)
            kind = tensor.dtype.name if tensor is not None else ""
            # Integers are computed with everywhere; those of a quantised value stand where it is made.
            if kind in ("FLOAT", "HALF", "BF16") or (kind and layer.type.name in ("QUANTIZE", "DYNAMIC_QUANTIZE")):
                found.add(kind)
    types = sorted(found)
    narrow = [kind for kind in types if kind not in ("FLOAT", "HALF", "BF16")]
    deciding = narrow or [kind for kind in types if kind != "FLOAT"] or ["FLOAT"]
    return " and ".join(_PRECISIONS.get(kind, kind.lower()) for kind in deciding), types


def _optimization_profile(builder: Any, file_name: str, network: Any, request: LoadRequest) -> Any:
    """Batches up to the case's, and the fastest at exactly that one; ``None`` where all sizes are fixed."""
    stated = {description.name: description.shape for description in request.inputs}
    profile = None
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = list(tensor.shape)
        if -1 not in shape:
            continue
        largest = []
        for place, size in enumerate(shape):
            if size == -1:
                known = stated[tensor.name][place] if place < len(stated[tensor.name]) else None
                size = known if known is not None else request.batch_size if place == 0 else -1
            largest.append(size)
        if -1 in largest:
            raise Unsupported(
                "{}: dimension {} of input {!r} is dynamic; TensorRT builds for sizes it knows, so that the manifest "
                "must state all but the batch".format(file_name, largest.index(-1), tensor.name)
            )
        profile = profile or builder.create_optimization_profile()
        smallest = [1 if place == 0 and size == -1 else largest[place] for place, size in enumerate(shape)]
        profile.set_shape(tensor.name, tuple(smallest), tuple(largest), tuple(largest))
    return profile
