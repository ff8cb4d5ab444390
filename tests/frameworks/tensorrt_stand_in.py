"""As much of TensorRT and the CUDA driver as the predictor uses, on this machine's own memory.

The names, signatures and return values are those of TensorRT 11.4's Python bindings and of the driver's C interface;
device addresses are real addresses of host memory, so that a wrong size or address shows. A "model" is a JSON file::

    {"type": "FLOAT", "answer": "FLOAT", "dims": [-1, 3], "quantised": false}

with input ``features`` of ``type`` and output ``scores`` of ``answer``, by default the same, which is
``2 * features + 1``.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

STREAM = 0x7E00_1234_5678
CONTEXT = 0x7F00_1234_5678

DataType = enum.Enum("DataType", "FLOAT HALF BF16 INT8 INT32 INT64 UINT8 BOOL FP8")
LayerType = enum.Enum("LayerType", "ELEMENTWISE QUANTIZE DEQUANTIZE")
Severity = enum.Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")
BITS = {DataType.FLOAT: "float32", DataType.HALF: "float16", DataType.BF16: "uint16"}


class Driver:
    """``libcuda.so.1`` of a machine with ``gpus`` devices. Every function returns a ``CUresult``."""

    def __init__(self, *, gpus: int = 1, status: int = 0) -> None:
        self.gpus, self.status = gpus, status
        self.memory: dict[int, Any] = {}
        self.streams: set[int] = set()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            self.calls.append(name)
            return self._answer(name, [getattr(argument, "_obj", argument) for argument in arguments])

        self.__dict__[name] = function  # the predictor sets argtypes on it
        return function

    def _answer(self, name: str, arguments: list[Any]) -> int:
        if name == "cuInit":
            return self.status
        if name == "cuGetErrorString":
            arguments[1].value = b"no CUDA-capable device is detected"
        elif name == "cuDeviceGetName":
            arguments[0].value = b"Stand-in GPU"
        elif name in ("cuDeviceGetCount", "cuDriverGetVersion", "cuDeviceGet"):
            arguments[0].value = {"cuDeviceGetCount": self.gpus, "cuDriverGetVersion": 13010}.get(name, 0)
        elif name == "cuDevicePrimaryCtxRetain":
            arguments[0].value = CONTEXT
        elif name == "cuStreamCreate":
            arguments[0].value = STREAM + len(self.streams)
            self.streams.add(arguments[0].value)
        elif name == "cuStreamDestroy_v2":
            self.streams.remove(arguments[0])
        elif name == "cuStreamSynchronize":
            return 0 if arguments[0] in self.streams else 400
        elif name == "cuMemAlloc_v2":
            buffer = ctypes.create_string_buffer(arguments[1])
            arguments[0].value = ctypes.addressof(buffer)
            self.memory[arguments[0].value] = buffer
        elif name == "cuMemFree_v2":
            del self.memory[arguments[0]]
        elif name in ("cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2"):
            device = arguments[0 if name == "cuMemcpyHtoD_v2" else 1]
            if arguments[2] > len(self.memory[device]):
                return 1
            ctypes.memmove(*arguments)
        return 0


class Tensor:
    is_shape_tensor = False

    def __init__(self, name: str, dtype: Any, shape: list[int]) -> None:
        self.name, self.dtype, self.shape = name, dtype, tuple(shape)


class Layer:
    num_outputs = 1

    def __init__(self, kind: Any, dtype: Any, shape: list[int]) -> None:
        self.type = kind
        self._output = Tensor("output", dtype, shape)

    def get_output(self, index: int) -> Tensor:
        return [self._output][index]


class Network:
    num_inputs = num_layers = num_outputs = 0

    def parsed(self, model: dict[str, Any]) -> None:
        dtype = DataType[model.get("answer", model["type"])]
        self._input = Tensor("features", DataType[model["type"]], model["dims"])
        self._output = Tensor("scores", dtype, model["dims"])
        self._layers = [Layer(LayerType.ELEMENTWISE, dtype, model["dims"])]
        if model.get("quantised"):
            self._layers.append(Layer(LayerType.QUANTIZE, DataType.INT8, model["dims"]))
        self.num_inputs, self.num_layers, self.num_outputs = 1, len(self._layers), 1

    def get_input(self, index: int) -> Tensor:
        return [self._input][index]

    def get_output(self, index: int) -> Tensor:
        return [self._output][index]

    def get_layer(self, index: int) -> Layer:
        return self._layers[index]


class OnnxParser:
    def __init__(self, network: Network, logger: Any) -> None:
        self._network = network
        self._errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[index])

    def parse_from_file(self, model: str) -> bool:
        try:
            self._network.parsed(json.loads(Path(model).read_text("utf-8")))
        except ValueError:
            self._errors.append("Failed to parse\nthe model")
        return not self._errors


class BuilderConfig:
    def __init__(self) -> None:
        self.builder_optimization_level = 3
        self.profiling_verbosity = "LAYER_NAMES_ONLY"
        self.profiles: list[dict[str, Any]] = []
        self._flags = {"TF32"}

    def clear_flag(self, flag: str) -> None:
        self._flags.discard(flag)

    def get_flag(self, flag: str) -> bool:
        return flag in self._flags

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self.shapes[name] = (smallest, best, largest)


class Context:
    nvtx_verbosity = "DETAILED"
    profiler: Any = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shape: tuple[int, ...] = engine.network.get_input(0).shape
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self._engine.profile[name]
        fits = len(shape) == len(largest) and all(
            low <= size <= high for low, size, high in zip(smallest, shape, largest, strict=True)
        )
        if not fits:
            self._engine.logger.log(Severity.ERROR, f"shape {list(shape)} is outside\nthe profile")
            return False
        self._shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shape

    def infer_shapes(self) -> list[str]:
        return []

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        driver = self._engine.driver
        driver.calls.append("enqueueV3")
        if stream not in driver.streams:
            return False
        bits = np.dtype(BITS[self._engine.get_tensor_dtype("features")])
        size = int(np.prod(self._shape)) * bits.itemsize
        source = np.frombuffer(ctypes.string_at(self._addresses["features"], size), bits)
        kind = self._engine.get_tensor_dtype("scores")
        answer = 2 * source + 1
        # The bits of a bfloat16 are the upper half of those of a float32.
        answer = (answer.view("uint32") >> 16).astype("uint16") if kind is DataType.BF16 else answer.astype(BITS[kind])
        assert len(driver.memory[self._addresses["scores"]]) >= answer.nbytes
        ctypes.memmove(self._addresses["scores"], answer.tobytes(), answer.nbytes)
        if self.profiler is not None:
            self.profiler.report_layer_time("double", 0.25)
            self.profiler.report_layer_time("reformat", 0.0)
        return True


class Inspector:
    execution_context: Any = None

    def get_engine_information(self, form: str) -> str:
        shape = list(self.execution_context.get_tensor_shape("scores"))
        layer = {"Name": "double", "LayerType": "PointWise", "Outputs": [{"Name": "scores", "Dimensions": shape}]}
        return json.dumps({"Layers": [layer, "reformat"], "Bindings": ["features", "scores"]})


class Engine:
    num_io_tensors = 2

    def __init__(self, network: Network, config: BuilderConfig, logger: Any, driver: Driver) -> None:
        self.network, self.logger, self.driver = network, logger, driver
        tensor = network.get_input(0)
        self.profile = config.profiles[0] if config.profiles else {tensor.name: (tensor.shape,) * 3}

    def get_tensor_name(self, index: int) -> str:
        return ("features", "scores")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name == "features" else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> Any:
        return (self.network.get_input(0) if name == "features" else self.network.get_output(0)).dtype

    def create_execution_context(self) -> Context:
        return Context(self)

    def create_engine_inspector(self) -> Inspector:
        return Inspector()


class Logger:
    Severity = Severity

    def log(self, severity: Any, message: str) -> None:
        raise NotImplementedError


class LayerTimes:
    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


def stand_in(driver: Driver, *, fault: str = "") -> Any:
    """The module ``tensorrt``.

    :param fault: ``builder`` for a GPU that TensorRT cannot use, ``engine`` for a network it cannot build.
    """
    configs: list[BuilderConfig] = []

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = logger
            if fault == "builder":
                logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags: int) -> Network:
            assert flags == 1
            return Network()

        def create_builder_config(self) -> BuilderConfig:
            configs.append(BuilderConfig())
            return configs[-1]

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: BuilderConfig) -> Any:
            if fault == "engine":
                self._logger.log(Severity.INTERNAL_ERROR, "no kernel\nfor it")
                self._logger.log(Severity.WARNING, "a warning")
                return None
            return (network, config)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: Any) -> Engine:
            network, config = plan
            return Engine(network, config, self._logger, driver)

    return SimpleNamespace(
        __version__="11.4.0.106",
        DataType=DataType,
        ILogger=Logger,
        IProfiler=LayerTimes,
        Builder=Builder,
        Runtime=Runtime,
        OnnxParser=OnnxParser,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=0),
        BuilderFlag=SimpleNamespace(TF32="TF32"),
        ProfilingVerbosity=SimpleNamespace(NONE="NONE", DETAILED="DETAILED"),
        TensorIOMode=SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
        configs=configs,
    )
