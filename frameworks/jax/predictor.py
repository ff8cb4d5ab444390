"""JAX: a program serialised by ``jax.export``, compiled ahead of time for each set of input shapes."""

import gc
import glob
import importlib.util
import os
import re
import tempfile
from typing import Any, Dict, List, Optional, Set, Tuple

# On a GPU XLA otherwise takes most of the memory at once, and keeps it.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.export
import jax.extend
import jax.interpreters.mlir
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

_POOL_VARIABLE = "NPROC"
"""XLA's CPU client makes as many threads as this variable says, where it says a number; else one for each core."""
_POOL_THREAD = "tf_XLAEigen"
_CUSTOM_CALLS = {"shape_assertion", "Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"}
"""Those that are notes to the compiler; any other runs code by its name, which may take addresses from the file."""
_FLOAT = re.compile(r"(?<=[<x])(?:f8\w+|f16|bf16|f32|f64)\b")
_PRODUCTS = ("stablehlo.dot_general", "stablehlo.convolution")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%?([\w.-]+) = (\w+)\[([\d,]*)\]\S* ([\w-]+)\(")
_CALLS = re.compile(r"\bcalls=%?([\w.-]+)")
_COMPUTATION = re.compile(r"(?:ENTRY )?%?([\w.-]+) \(.*\{\s*$")


def _one_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:600]


class _Program(object):
    """A deserialised program, with the places of its inputs and outputs among the leaves."""

    def __init__(self, exported: Any, inputs: Dict[str, int], outputs: List[int]) -> None:
        self.exported = exported
        self.inputs = inputs
        self.outputs = outputs

    def function(self, *leaves: Any) -> List[Any]:
        arguments, keywords = jax.tree_util.tree_unflatten(self.exported.in_tree, leaves)
        results = jax.tree_util.tree_leaves(self.exported.call(*arguments, **keywords))
        return [results[place] for place in self.outputs]


class _Model(LoadedModel):
    """A program with an executable for each set of shapes it has seen; compiling is never part of what is timed."""

    returns_new_arrays = True

    def __init__(self, program: _Program, device: Any, request: LoadRequest, resolved: Dict[str, Any]) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._program = program
        self._device = device
        self._outputs = list(request.outputs)
        self._compiled: Dict[Any, Any] = {}
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """Copy the inputs to the device, call the executable, and copy the outputs back."""
        compiled, arrays = self._prepare(inputs)
        return self._named(self._call(compiled, arrays))

    def bind(self, inputs: Tensors) -> Bound:
        """An executable compiled ahead of time for these shapes, on arrays that lie on the device.

        A call skips ``jit``'s look-up. JAX may return before the device has finished, so each output is waited for.
        """
        compiled, arrays = self._prepare(inputs)
        latest = self._call(compiled, arrays)  # an error shows here with the file's name, not in the timed loop

        def run() -> None:
            latest[:] = compiled(*arrays)
            for value in latest:
                value.block_until_ready()

        return Bound(run, lambda: self._named(latest), "jax.stages.Compiled.__call__")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The operations of the compiled program, by ``jax.profiler``; XLA fuses several of the file's into one."""
        if self._device.platform != "cpu":
            raise Unsupported("layers are profiled on the CPU alone")
        compiled, arrays = self._prepare(inputs)
        self._call(compiled, arrays)
        options = jax.profiler.ProfileOptions()
        # Python's own calls are no layers, and to trace them takes time from those that are.
        options.python_tracer_level = 0
        with tempfile.TemporaryDirectory(prefix="mlscope-jax-", dir=os.environ.get("MLSCOPE_SCRATCH")) as folder:
            jax.profiler.start_trace(folder, profiler_options=options)
            try:
                for _ in range(runs):
                    self._call(compiled, arrays)
            finally:
                jax.profiler.stop_trace()
            seconds = _seconds_of_operations(folder)
        instructions = _instructions(compiled.as_text())
        layers = []
        for name, times in seconds.items():
            kind, shape, memory = instructions.get(name, ("unknown", None, None))
            layers.append(Layer(name, kind, float(numpy.median(times)), shape, memory))
        return layers

    def unload(self) -> None:
        del self._program
        self._compiled = {}
        # JAX keeps every function that it has traced and compiled.
        jax.clear_caches()
        gc.collect()

    def _call(self, compiled: Any, arrays: List[Any]) -> List[Any]:
        try:
            return list(jax.block_until_ready(compiled(*arrays)))
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def _prepare(self, inputs: Tensors) -> Tuple[Any, List[Any]]:
        """The executable for these shapes, and the inputs on the device in the order it takes them."""
        places = self._program.inputs
        if set(inputs) != set(places):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(places)))
        values: List[Any] = [None] * len(places)
        for name, place in places.items():
            array, wanted = inputs[name], self._program.exported.in_avals[place]
            if array.dtype != wanted.dtype:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, wanted.dtype))
            if not _fits(array.shape, wanted.shape):
                raise RuntimeError(
                    "{}: input {!r} is {}; the model takes ({})".format(
                        self._file_name, name, array.shape, ", ".join(map(str, wanted.shape))
                    )
                )
            values[place] = array
        # The key of what was compiled: XLA compiles for fixed sizes.
        shapes = tuple(value.shape for value in values)
        try:
            if shapes not in self._compiled:
                structs = [
                    jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=self._sharding()) for value in values
                ]
                self._compiled[shapes] = jax.jit(self._program.function).lower(*structs).compile()
            # A copy: on the CPU an array may otherwise share the caller's memory.
            arrays = [jax.device_put(value, self._device, may_alias=False) for value in values]
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        return self._compiled[shapes], arrays

    def _sharding(self) -> Any:
        return jax.sharding.SingleDeviceSharding(self._device)

    def _named(self, values: List[Any]) -> Tensors:
        return {name: _array(value) for name, value in zip(self._outputs, values)}


class FrameworkPredictor(Predictor):
    """JAX on the CPU or on CUDA; one process has one pool of threads."""

    def __init__(self) -> None:
        # Else 64-bit inputs are taken for 32-bit ones.
        jax.config.update("jax_enable_x64", True)
        # On the CPU a call then computes in the calling thread and those of the pool, with no handing over between.
        jax.config.update("jax_cpu_enable_async_dispatch", False)

    def version(self) -> str:
        return str(jax.__version__)

    def build_information(self) -> Dict[str, str]:
        return {"xla_flags": os.environ.get("XLA_FLAGS", ""), "cuda_plugin": ", ".join(_cuda_plugins()) or "none"}

    def devices(self) -> List[str]:
        # Looking at the devices themselves would already make the thread pool.
        return ["cpu", "cuda"] if _cuda_plugins() else ["cpu"]

    def load(self, request: LoadRequest) -> LoadedModel:
        """Read the program, and refuse one that calls code by its name.

        ``fp32`` wants floats of 32 bits alone, and on CUDA products at the highest precision, since XLA otherwise takes
        TensorFloat-32 for them.
        """
        if request.device not in ("cpu", "cuda"):
            raise Unsupported("no device " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("JAX computes in the types the program states; it has no " + request.precision)
        device, threads = self._start(request)
        file_name = os.path.basename(request.files["model"])
        try:
            with open(request.files["model"], "rb") as stream:
                exported = jax.export.deserialize(bytearray(stream.read()))
            module = _Module(exported)
        except Exception as error:
            raise RuntimeError(
                "{}: not a program serialised by jax.export that this JAX reads: {}".format(file_name, _one_line(error))
            ) from None
        self._check(file_name, exported, module, request)
        program = _Program(exported, _inputs(file_name, exported, request), _outputs(file_name, exported, request))
        resolved = {
            "precision": "fp32" if module.floats == {"f32"} else "as the file states",
            "types": ", ".join(sorted(module.floats)),
            "threads": threads,
            "device": device.device_kind,
            "product_precision": ", ".join(sorted(module.product_precisions)) or "none",
        }
        return _Model(program, device, request, resolved)

    def _start(self, request: LoadRequest) -> Tuple[Any, Optional[int]]:
        """The device, and the threads of XLA's pool as they are found."""
        if request.threads is not None:
            # Before the first look at a device, which makes the pool.
            os.environ[_POOL_VARIABLE] = str(request.threads)
        try:
            device = jax.devices(request.device)[0]
        except RuntimeError as error:
            raise Unsupported("this JAX finds no {} device: {}".format(request.device, _one_line(error))) from None
        found = _pool_threads()
        # The pool is made once a process; this one may have been started with another number.
        if request.device == "cpu" and request.threads is not None and found not in (None, request.threads):
            raise RuntimeError("JAX already runs here on {} threads, not on {}".format(found, request.threads))
        return device, request.threads if found is None else found

    def _check(self, file_name: str, exported: Any, module: "_Module", request: LoadRequest) -> None:
        """:raises Unsupported: for another device or precision. :raises RuntimeError: for a program that calls code."""
        if request.device not in exported.platforms:
            raise Unsupported(
                "{}: exported for {}, not for {}".format(file_name, ", ".join(exported.platforms), request.device)
            )
        foreign = sorted(module.custom_calls - _CUSTOM_CALLS)
        if foreign:
            raise RuntimeError("{}: calls {}, which may run any code".format(file_name, ", ".join(foreign)))
        if request.precision != "fp32":
            return
        if module.floats != {"f32"}:
            raise Unsupported(
                "{}: holds {}; the program is not fp32".format(
                    file_name, ", ".join(sorted(module.floats)) or "no floats"
                )
            )
        if request.device == "cuda" and module.product_precisions - {"HIGHEST"}:
            raise Unsupported(
                "{}: leaves the precision of products to XLA, which takes TensorFloat-32; "
                "export it under jax.default_matmul_precision('highest')".format(file_name)
            )


class _Module(object):
    """What a program's operations are made of: float types, custom calls, and the precision of its products."""

    def __init__(self, exported: Any) -> None:
        self.floats: Set[str] = set()
        self.custom_calls: Set[str] = set()
        self.product_precisions: Set[str] = set()
        mlir = jax.interpreters.mlir
        with mlir.make_ir_context() as context:
            module = jax.extend.mlir.deserialize_portable_artifact(exported.mlir_module_serialized, context)
            module.operation.walk(self._visit)

    def _visit(self, operation: Any) -> Any:
        ir = jax.interpreters.mlir.ir
        for value in list(operation.operands) + list(operation.results):
            self.floats.update(_FLOAT.findall(str(value.type)))
        if operation.name == "stablehlo.custom_call":
            self.custom_calls.add(ir.StringAttr(operation.attributes["call_target_name"]).value)
        if operation.name in _PRODUCTS:
            stated = str(operation.attributes["precision_config"]) if "precision_config" in operation.attributes else ""
            self.product_precisions.update(re.findall(r"precision (\w+)", stated) or ["DEFAULT"])
        return ir.WalkResult.ADVANCE


def _cuda_plugins() -> List[str]:
    return [name for name in ("jax_cuda12_plugin", "jax_cuda13_plugin") if importlib.util.find_spec(name)]


def _pool_threads() -> Optional[int]:
    """How many threads XLA's pool has; ``None`` where the system does not tell."""
    names = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open("/proc/self/task/{}/comm".format(thread)) as stream:
                names.append(stream.read().strip())
    except OSError:
        return None
    return names.count(_POOL_THREAD) or None


def _inputs(file_name: str, exported: Any, request: LoadRequest) -> Dict[str, int]:
    """Input name to its place among the leaves: keyword arguments or a dict have names, other arguments an order."""
    asked = [description.name for description in request.inputs]
    positional, keywords = jax.tree_util.tree_unflatten(exported.in_tree, range(len(exported.in_avals)))
    arguments: List[Any] = list(positional)
    if not keywords and len(arguments) == 1 and isinstance(arguments[0], dict):
        keywords, arguments = arguments[0], []
    if arguments and not keywords and all(isinstance(argument, int) for argument in arguments):
        if len(arguments) != len(asked):
            raise ValueError(
                "{}: {} inputs asked for; the program takes {} without names".format(
                    file_name, len(asked), len(arguments)
                )
            )
        return dict(zip(asked, arguments))
    if arguments or not all(isinstance(place, int) for place in keywords.values()):
        raise ValueError("{}: takes nested arguments; export it with one keyword argument an input".format(file_name))
    places = {str(name): place for name, place in keywords.items()}
    for name in asked:
        if name not in places:
            raise NoSuchName(file_name, "input", name, places)
    missing = sorted(set(places) - set(asked))
    if missing:
        raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
    return places


def _outputs(file_name: str, exported: Any, request: LoadRequest) -> List[int]:
    """The places of the outputs asked for: by name where the program returns a dict, else in the manifest's order."""
    results = jax.tree_util.tree_unflatten(exported.out_tree, range(len(exported.out_avals)))
    if isinstance(results, dict) and all(isinstance(place, int) for place in results.values()):
        for name in request.outputs:
            if name not in results:
                raise NoSuchName(file_name, "output", name, results)
        return [results[name] for name in request.outputs]
    if len(request.outputs) != len(exported.out_avals):
        raise ValueError(
            "{}: {} outputs asked for; the program returns {} without names".format(
                file_name, len(request.outputs), len(exported.out_avals)
            )
        )
    return list(range(len(exported.out_avals)))


def _fits(shape: Any, wanted: Any) -> bool:
    """Whether the sizes that the program fixes are these; JAX itself checks symbolic ones, for they may be related."""
    return len(shape) == len(wanted) and all(
        not isinstance(fixed, int) or fixed == size for size, fixed in zip(shape, wanted)
    )


def _array(value: Any) -> numpy.ndarray:
    if value.dtype == jax.numpy.bfloat16:  # numpy has no such type, and every bfloat16 is a float32
        value = value.astype(numpy.float32)
    return numpy.ascontiguousarray(numpy.asarray(value))


def _seconds_of_operations(folder: str) -> Dict[str, List[float]]:
    """Operation of the compiled program to its seconds in each run, in order of first execution.

    An operation ends with an event of its own, on whichever thread finished it, that bears the number it began with.
    """
    begun = []
    ended = {}
    for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True):
        for plane in jax.profiler.ProfileData.from_file(path).planes:
            for line in plane.lines:
                for event in line.events:
                    facts = dict(event.stats)
                    if "hlo_op" in facts:
                        begun.append((event.start_ns, event.duration_ns, facts))
                    elif "_c" in facts and event.name.startswith("end: "):
                        ended[facts["_c"]] = event.start_ns
    seconds: Dict[str, Dict[Any, float]] = {}
    for start, duration, facts in sorted(begun, key=lambda event: event[0]):
        in_runs = seconds.setdefault(str(facts["hlo_op"]), {})
        end = max(ended.get(facts.get("_p"), 0), start + duration)
        in_runs[facts.get("run_id")] = in_runs.get(facts.get("run_id"), 0.0) + (end - start) * 1e-9
    return {name: list(in_runs.values()) for name, in_runs in seconds.items()}


def _instructions(text: str) -> Dict[str, Tuple[str, Optional[List[int]], Optional[int]]]:
    """Instruction to its kind, shape and bytes, from a compiled program's text.

    A fusion's kind names what its last instruction is: ``fusion:convolution``.
    """
    found: Dict[str, Tuple[str, Optional[List[int]], Optional[int]]] = {}
    roots: Dict[str, str] = {}
    fusions: Dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        opening = _COMPUTATION.match(line)
        if opening:
            computation = opening.group(1)
            continue
        instruction = _INSTRUCTION.match(line)
        if not instruction:
            continue
        root, name, dtype, sizes, kind = instruction.groups()
        shape = [int(size) for size in sizes.split(",") if size]
        # Of a name such as f32 or s64.
        bits = re.search(r"\d+", dtype)
        memory = int(numpy.prod(shape)) * int(bits.group()) // 8 if bits else None
        found[name] = (kind, shape, memory)
        if root:
            roots[computation] = kind
        calls = _CALLS.search(line)
        if kind == "fusion" and calls:
            fusions[name] = calls.group(1)
    for name, called in fusions.items():
        if called in roots:
            found[name] = ("fusion:" + roots[called],) + found[name][1:]
    return found
