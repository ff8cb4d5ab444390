"""TensorFlow 2: a zipped SavedModel or a ``.keras`` file, called through one concrete function."""

import gc
import os
import shutil
import stat
import statistics
import tempfile
import zipfile
from typing import Any, Callable, Dict, List, Optional, Tuple

# Errors only: at import TensorFlow writes lines about the processor and about GPUs that it does not find.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN may otherwise be told to compute fp32 products in bfloat16.
os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"
os.environ.pop("TF_SET_ONEDNN_FPMATH_MODE", None)

import numpy
import tensorflow
from tensorflow.core.protobuf import saved_model_pb2

try:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2
except ImportError:
    xplane_pb2 = None

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

_HELD = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
# A small zip may unpack to any number of files and bytes.
_MOST_ENTRIES = 10000
_MOST_BYTES = 16 * 2**30
_FILE_OPERATIONS = {"ReadFile", "WriteFile", "PyFunc", "PyFuncStateless", "EagerPyFunc"}
"""Operations by which a graph reaches files or Python; ``saved_model_cli scan`` warns of the first two."""


_RUN = "mlscope run"
_WARMUP_CALLS = 3
_CALLS = {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf", "Case"}
"""Operations that consist of others, which are listed themselves."""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600]


def _layers(folder: str) -> List[Layer]:
    """Layers of the only trace in a folder: ``XSpace`` messages, in which events of operations are called
    ``NAME:TYPE`` and shown as ``TYPE``.
    """
    space = xplane_pb2.XSpace()
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".xplane.pb"):
                with open(os.path.join(parent, name), "rb") as stream:
                    space.MergeFromString(stream.read())
    spans, operations = [], []
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                told = plane.event_metadata[event.metadata_id]
                start = line.timestamp_ns * 1000 + event.offset_ps
                name, _, kind = told.name.rpartition(":")
                if told.name == _RUN:
                    spans.append((start, start + event.duration_ps))
                elif name and kind == told.display_name and kind not in _CALLS:
                    operations.append((start, name, kind, event.duration_ps))
    times: Dict[Tuple[str, str], List[int]] = {}
    for place, (start, stop) in enumerate(sorted(spans)):
        for at, name, kind, picoseconds in sorted(operations):
            if start <= at <= stop:
                # A loop's operation runs several times a prediction.
                times.setdefault((name, kind), [0] * len(spans))[place] += picoseconds
    return [Layer(name, kind, statistics.median(each) / 1e12 or None) for (name, kind), each in times.items()]


class _Program(object):
    """A function of the chosen inputs, as one concrete function called by position."""

    def __init__(
        self, function: Callable[..., Any], specs: Dict[str, Any], variables: Any, folder: Optional[str]
    ) -> None:
        self.function = function
        self.specs = specs
        self.variables = variables
        self.folder = folder


class _Model(LoadedModel):
    """A concrete function on one device."""

    def __init__(self, program: _Program, concrete: Any, request: LoadRequest, resolved: Dict[str, Any]) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._program = program
        self._concrete = concrete
        self._outputs = list(request.outputs)
        self._device = request.device
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """The same concrete function that is timed, with inputs copied to the device and outputs copied back."""
        tensors = self._tensors(inputs)
        try:
            return self._named(self._concrete(*tensors))
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def bind(self, inputs: Tensors) -> Bound:
        """Constants made beforehand, given by position to the concrete function.

        A call of the signature, by keywords, costs more, and an eager call more still. On a GPU ``sync_devices`` waits
        for what is queued, within the time measured.
        """
        tensors = self._tensors(inputs)
        concrete = self._concrete
        self.predict(inputs)  # an error shows here with the file's name, not in the timed loop
        latest: List[Any] = [concrete(*tensors)]

        def run_on_cpu() -> None:
            latest[0] = concrete(*tensors)

        def run_on_gpu() -> None:
            latest[0] = concrete(*tensors)
            tensorflow.test.experimental.sync_devices()

        run = run_on_gpu if self._device == "GPU" else run_on_cpu
        return Bound(run, lambda: self._named(latest[0]), "ConcreteFunction.__call__")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The operations of the graph as TensorFlow rewrote it, from the trace its profiler writes."""
        if self._device != "CPU":
            raise Unsupported("the per-layer profile is of the CPU alone")
        if xplane_pb2 is None:
            raise Unsupported("this TensorFlow brings no description of its profiler's files")
        tensors = self._tensors(inputs)
        for _ in range(_WARMUP_CALLS):
            self._concrete(*tensors)
        folder = tempfile.mkdtemp(prefix="mlscope-profile-", dir=os.environ.get("MLSCOPE_SCRATCH"))
        profiler = tensorflow.profiler.experimental
        try:
            # Level 3 shows cheap operations too.
            profiler.start(folder, profiler.ProfilerOptions(host_tracer_level=3, python_tracer_level=0))
            try:
                for number in range(runs):
                    with profiler.Trace(_RUN, step_num=number):
                        self._concrete(*tensors)
            finally:
                profiler.stop()
            return _layers(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def unload(self) -> None:
        folder = self._program.folder
        del self._program, self._concrete
        # Keras keeps what it has made in a state of its own, beyond the objects' life.
        tensorflow.keras.backend.clear_session()
        gc.collect()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _tensors(self, inputs: Tensors) -> List[Any]:
        """The inputs as constants on the device, in the order of the function's parameters."""
        specs = self._program.specs
        if set(inputs) != set(specs):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(specs)))
        tensors = []
        with tensorflow.device("/" + self._device + ":0"):
            for name, spec in specs.items():
                array = inputs[name]
                if array.dtype != spec.dtype.as_numpy_dtype:
                    raise ValueError(
                        "input {!r} is {}; the model wants {}".format(name, array.dtype.name, spec.dtype.name)
                    )
                if not spec.shape.is_compatible_with(array.shape):
                    # TensorFlow itself may find a meaning for it, such as a convolution in groups.
                    raise RuntimeError(
                        "{}: input {!r} has shape {}; the model wants {}".format(
                            self._file_name, name, list(array.shape), spec.shape
                        )
                    )
                tensors.append(tensorflow.constant(array))
        return tensors

    def _named(self, values: Any) -> Tensors:
        return {name: numpy.ascontiguousarray(value.numpy()) for name, value in zip(self._outputs, values)}


class FrameworkPredictor(Predictor):
    """One process has one device and one number of threads: TensorFlow fixes both when it first computes."""

    def version(self) -> str:
        return str(tensorflow.__version__)

    def devices(self) -> List[str]:
        return sorted({device.device_type for device in tensorflow.config.list_physical_devices()})

    def build_information(self) -> Dict[str, str]:
        facts = {name: str(value) for name, value in tensorflow.sysconfig.get_build_info().items()}
        facts["keras"] = str(tensorflow.keras.__version__)
        facts["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
        return facts

    def load(self, request: LoadRequest) -> LoadedModel:
        """Load the file, and trace one function from the inputs asked for to the outputs asked for.

        ``fp32`` wants fp32 variables, and turns TensorFloat-32 off. ``framework_default`` takes any, and leaves it on.
        """
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("TensorFlow computes in the types the model states; it has no " + request.precision)
        self._configure(request)
        file_name = os.path.basename(request.files["model"])
        with tensorflow.device("/" + request.device + ":0"):
            program = self._read(file_name, request)
            try:
                held = _held(file_name, program, request)
                names = [description.name for description in request.inputs]
                for name in names:
                    if name not in program.specs:
                        raise NoSuchName(file_name, "input", name, program.specs)
                if set(names) != set(program.specs):
                    raise ValueError(
                        "{}: inputs {} asked for; the model has {}".format(
                            file_name, sorted(names), sorted(program.specs)
                        )
                    )
                concrete = _concrete(file_name, program, request)
            except Exception:
                if program.folder is not None:
                    shutil.rmtree(program.folder, ignore_errors=True)
                raise
        threading = tensorflow.config.threading
        resolved = {
            "precision": held if request.precision == "framework_default" else request.precision,
            "threads": threading.get_intra_op_parallelism_threads() or None,
            "inter_op_threads": threading.get_inter_op_parallelism_threads() or None,
            "tensor_float_32": tensorflow.config.experimental.tensor_float_32_execution_enabled(),
        }
        return _Model(program, concrete, request, resolved)

    def _configure(self, request: LoadRequest) -> None:
        """Devices, threads and TensorFloat-32, which hold for the whole process."""
        config = tensorflow.config
        gpus = config.list_physical_devices("GPU")
        if request.device not in ("CPU", "GPU"):
            raise Unsupported("no device " + request.device)
        if request.device == "GPU" and not gpus:
            raise Unsupported("this TensorFlow finds no GPU")
        try:
            config.set_visible_devices(gpus if request.device == "GPU" else [], "GPU")
            if request.device == "GPU":
                # TensorFlow otherwise takes all of a GPU's memory at once, and peak memory would say nothing.
                for gpu in gpus:
                    config.experimental.set_memory_growth(gpu, True)
            if request.threads is not None:
                config.threading.set_intra_op_parallelism_threads(request.threads)
                config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            # TensorFlow fixes devices and threads when it first computes.
            raise RuntimeError(
                "TensorFlow already runs here on other devices or threads: {}".format(_one_line(error))
            ) from None
        config.experimental.enable_tensor_float_32_execution(request.precision == "framework_default")

    def _read(self, file_name: str, request: LoadRequest) -> _Program:
        """Whichever of the two formats the zip holds."""
        path = request.files["model"]
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if "config.json" in names and "metadata.json" in names:
                    return self._read_keras(path)
                folder = _extract(file_name, archive)
        except zipfile.BadZipFile:
            raise RuntimeError("{}: neither a zip of a SavedModel nor a .keras file".format(file_name)) from None
        except (_Refused, RuntimeError):
            raise
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        try:
            return self._read_saved_model(file_name, folder, request)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, _Refused):
                raise
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None

    def _read_keras(self, path: str) -> _Program:
        """A ``.keras`` file in safe mode, in which Keras refuses to load Python code, such as a Lambda layer's."""
        handle, linked = tempfile.mkstemp(prefix="mlscope-", suffix=".keras", dir=os.environ.get("MLSCOPE_SCRATCH"))
        os.close(handle)
        try:  # Keras goes by the suffix, which a cached file may not have.
            shutil.copyfile(path, linked)
            # Not compiled: predicting needs neither optimiser nor losses, and custom ones could not be loaded.
            model = tensorflow.keras.models.load_model(linked, compile=False, safe_mode=True)
        finally:
            os.remove(linked)
        specs = {tensor.name: tensorflow.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}
        names = list(model.output_names)

        def function(*tensors: Any) -> Dict[str, Any]:
            result = model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
            if isinstance(result, dict):
                return result
            return dict(zip(names, result if isinstance(result, (list, tuple)) else [result]))

        return _Program(function, specs, model.variables, None)

    def _read_saved_model(self, file_name: str, folder: str, request: LoadRequest) -> _Program:
        """One signature of a SavedModel, refused where its graph reaches files or Python."""
        root = _saved_model_root(file_name, folder)
        _refuse_file_operations(file_name, root)
        loaded = tensorflow.saved_model.load(root)
        wanted = str(request.options.get("signature", "serving_default"))
        if wanted not in loaded.signatures:
            raise _Refused(
                "{}: no signature {!r}; the model has {}".format(file_name, wanted, ", ".join(loaded.signatures))
            )
        signature = loaded.signatures[wanted]
        specs = dict(signature.structured_input_signature[1])
        names = list(specs)

        # The closure keeps `loaded` alive: a signature alone does not keep its variables.
        def function(*tensors: Any, _kept: Any = loaded) -> Dict[str, Any]:
            return dict(signature(**dict(zip(names, tensors))))

        return _Program(function, specs, signature.graph.variables, folder)


class _Refused(ValueError):
    """A message that is complete as it is."""


def _held(file_name: str, program: _Program, request: LoadRequest) -> str:
    """The precision of the variables, which must be fp32 unless the framework's default is asked for."""
    held = set()
    for variable in program.variables:
        dtype = tensorflow.as_dtype(variable.dtype)
        if dtype.is_floating:
            held.add(_HELD.get(dtype.name, dtype.name))
            if dtype != tensorflow.float32 and request.precision != "framework_default":
                raise Unsupported("{}: {} is {}; the file is not fp32".format(file_name, variable.name, dtype.name))
    return " and ".join(sorted(held)) or "as the file states"


def _concrete(file_name: str, program: _Program, request: LoadRequest) -> Any:
    """One function from positional inputs to the asked outputs: calling it takes less than a signature's keywords."""

    def choose(*tensors: Any) -> List[Any]:
        results = program.function(*tensors)
        for name in request.outputs:
            if name not in results:
                raise NoSuchName(file_name, "output", name, results)
        return [results[name] for name in request.outputs]

    # There is no Python control flow in it that would have to be converted.
    function = tensorflow.function(choose, autograph=False)
    specs = [
        tensorflow.TensorSpec(spec.shape, spec.dtype, name="input_{}".format(index))
        for index, spec in enumerate(program.specs.values())
    ]
    return function.get_concrete_function(*specs)


def _extract(file_name: str, archive: zipfile.ZipFile) -> str:
    """Unpack into a new folder; nothing but plain files, nowhere but in it."""
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise _Refused(
            "{}: more than {} entries or {} GiB unpacked".format(file_name, _MOST_ENTRIES, _MOST_BYTES // 2**30)
        )
    folder = tempfile.mkdtemp(prefix="mlscope-savedmodel-", dir=os.environ.get("MLSCOPE_SCRATCH"))
    try:
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            parts = entry.filename.replace("\\", "/").split("/")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or ".." in parts or not parts[0] or ":" in parts[0]:
                raise _Refused("{}: entry {!r} is a link or leads outside".format(file_name, entry.filename))
            archive.extract(entry, folder)
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _saved_model_root(file_name: str, folder: str) -> str:
    """The folder with ``saved_model.pb``: the archive's own, or one in it, since people zip either."""
    for root, folders, files in os.walk(folder):
        # In a fixed order, in case the archive holds several.
        folders.sort()
        if "saved_model.pb" in files:
            return root
    raise _Refused("{}: neither a zip of a SavedModel nor a .keras file: no saved_model.pb in it".format(file_name))


def _refuse_file_operations(file_name: str, root: str) -> None:
    """:raises _Refused: for a graph that reaches outside, found in the file itself before anything of it is loaded."""
    saved_model = saved_model_pb2.SavedModel()
    with open(os.path.join(root, "saved_model.pb"), "rb") as stream:
        saved_model.ParseFromString(stream.read())
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        operations = {node.op for node in graph.node}
        for function in graph.library.function:
            operations.update(node.op for node in function.node_def)
        found = sorted(operations & _FILE_OPERATIONS)
        if found:
            raise _Refused("{}: its graph holds {}, which reaches outside".format(file_name, ", ".join(found)))
