"""Apache TVM: an ONNX file, compiled at load for this machine's processor and not tuned."""

import gc
import os
import re
import time
import warnings
from typing import Any, Dict, List, Optional

# Threads bound to cores would be the same cores in every process.
os.environ["TVM_BIND_THREADS"] = "0"

import numpy
import onnx
import tvm
import tvm.relax.frontend.onnx
import tvm.s_tir
import tvm.s_tir.dlight

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

_SCHEDULES = ("default", "parallel")
_ALL_CORES = 1
"""Of the modes of ``runtime.config_threadpool``, the one that prefers no kind of core."""
_FLOAT = re.compile(r"\b(?:bfloat|float)\d+(?:_\w+)?\b")
_NOT_A_LAYER = re.compile(r"vm\.builtin\.|shape_func")


def _one_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:600]


class _Input(object):
    """What an input takes; ``None`` stands for a dynamic dimension."""

    def __init__(self, value: Any) -> None:
        tensor = value.type.tensor_type
        self.dtype = numpy.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        self.shape = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]

    def takes(self, array: numpy.ndarray) -> bool:
        return array.ndim == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape)
        )


class _Model(LoadedModel):
    """An executable, run by a virtual machine."""

    returns_new_arrays = True

    def __init__(
        self, executable: Any, inputs: Dict[str, _Input], results: List[str], request: LoadRequest, resolved: Any
    ) -> None:
        self._file_name = os.path.basename(request.files["model"])
        self._executable = executable
        self._inputs = inputs
        self._places = [results.index(name) for name in request.outputs]
        self._outputs = list(request.outputs)
        self._main = self._machine()["main"]
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """Copy the inputs into TVM's tensors, call the main function, and copy its results."""
        tensors = self._tensors(inputs)
        try:
            return self._named(self._main(*tensors))
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def bind(self, inputs: Tensors) -> Bound:
        """A closure over the inputs, saved in a virtual machine of its own.

        Its call passes no arguments, and returns when the CPU has finished.
        """
        self.predict(inputs)  # an error shows here with the file's name, not in the timed loop
        machine = self._machine()
        machine.save_function("main", "bound", *self._tensors(inputs))
        bound = machine["bound"]
        latest: List[Any] = [bound()]

        def run() -> None:
            latest[0] = bound()

        return Bound(run, lambda: self._named(latest[0]), "VirtualMachine.save_function")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The compiled functions, timed by the virtual machine's instrumentation: some microseconds more than each."""
        machine = self._machine()
        tensors = self._tensors(inputs)
        names: List[str] = []
        shapes: List[List[int]] = []
        memory: List[int] = []
        seconds: List[List[float]] = []
        began = [0.0]
        place = [0]

        def instrument(function: Any, symbol: str, before: bool, returned: Any, *arguments: Any) -> int:
            # First of all, so that as little as possible of this function's own work is counted.
            now = time.perf_counter()
            if _NOT_A_LAYER.match(symbol):
                return 0
            if before:
                began[0] = time.perf_counter()
                return 0
            # Only in the first run is a layer new; later runs call the same functions in the same order.
            if place[0] == len(names):
                output = arguments[-1]
                names.append(symbol)
                shapes.append([int(size) for size in output.shape])
                memory.append(int(numpy.prod(shapes[-1])) * int(output.dtype.itemsize))
                seconds.append([])
            seconds[place[0]].append(now - began[0])
            place[0] += 1
            return 0

        machine.set_instrument(instrument)
        for _ in range(runs):
            place[0] = 0
            machine["main"](*tensors)
        return [
            Layer(
                name if names.count(name) == 1 else "{} ({})".format(name, names[: index + 1].count(name)),
                # TVM numbers the functions of one kind.
                re.sub(r"(?<=[a-z])\d+(?=_|$)", "", name),
                float(numpy.median(seconds[index])),
                shapes[index],
                memory[index],
            )
            for index, name in enumerate(names)
        ]

    def unload(self) -> None:
        del self._main, self._executable
        gc.collect()
        # The virtual machine keeps freed memory in a pool, for the next model.
        tvm.get_global_func("vm.builtin.memory_manager.clear")()

    def _machine(self) -> Any:
        return tvm.relax.VirtualMachine(self._executable, tvm.cpu(0))

    def _tensors(self, inputs: Tensors) -> List[Any]:
        """The inputs in TVM's memory, in the order the main function takes them."""
        if set(inputs) != set(self._inputs):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._inputs)))
        tensors = []
        for name, wanted in self._inputs.items():
            array = inputs[name]
            if array.dtype != wanted.dtype:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, wanted.dtype))
            if not wanted.takes(array):
                raise RuntimeError(
                    "{}: input {!r} is {}; the model takes {}, where None is any size".format(
                        self._file_name, name, array.shape, wanted.shape
                    )
                )
            tensors.append(tvm.runtime.tensor(numpy.ascontiguousarray(array), tvm.cpu(0)))
        return tensors

    def _named(self, result: Any) -> Tensors:
        results = [result] if isinstance(result, tvm.runtime.Tensor) else list(result)
        return {name: results[place].numpy() for name, place in zip(self._outputs, self._places)}


class FrameworkPredictor(Predictor):
    """TVM on the CPU."""

    def version(self) -> str:
        return str(tvm.__version__)

    def build_information(self) -> Dict[str, str]:
        return {name: str(value) for name, value in tvm.support.libinfo().items() if name in ("USE_LLVM", "USE_CUDA")}

    def devices(self) -> List[str]:
        return ["cpu"]

    def load(self, request: LoadRequest) -> LoadedModel:
        """Import and compile the file, which takes seconds. ``fp32`` is refused for a file with other floats."""
        if request.device != "cpu":
            raise Unsupported("this predictor compiles for the CPU alone, not for " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("TVM computes in the types the file states; it has no " + request.precision)
        schedule = request.options.get("schedule", "default")
        if schedule not in _SCHEDULES:
            raise ValueError("option schedule: {!r} is not one of {}".format(schedule, ", ".join(_SCHEDULES)))
        threads = _set_threads(request.threads, schedule)
        file_name = os.path.basename(request.files["model"])
        try:
            model = onnx.load(request.files["model"])
            stored = {tensor.name for tensor in model.graph.initializer}
            inputs = {value.name: _Input(value) for value in model.graph.input if value.name not in stored}
            results = [value.name for value in model.graph.output]
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        if not results:
            raise RuntimeError("{}: not an ONNX file: it holds no outputs".format(file_name))
        _check_names(file_name, "input", [description.name for description in request.inputs], list(inputs))
        _check_names(file_name, "output", request.outputs, results)
        missing = sorted(set(inputs) - {description.name for description in request.inputs})
        if missing:
            raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
        target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.get_global_func("target.llvm_get_system_cpu")()})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what ONNX's checker remarks on a graph that TVM then takes
                module = tvm.relax.frontend.onnx.from_onnx(model)
            types = sorted(set(_FLOAT.findall(module.script(show_meta=False))))
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        if request.precision == "fp32" and types != ["float32"]:
            raise Unsupported("{}: holds {}; the file is not fp32".format(file_name, ", ".join(types) or "no floats"))
        try:
            executable = tvm.compile(module, target, relax_pipeline=_pipeline(target, schedule))
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        resolved = {
            "precision": "fp32" if types == ["float32"] else "as the file states",
            "types": ", ".join(types),
            "threads": threads,
            "schedule": schedule,
            "target": "llvm -mcpu=" + str(target.attrs["mcpu"]),
        }
        return _Model(executable, inputs, results, request, resolved)


def _set_threads(asked: Optional[int], schedule: str) -> int:
    """Set the pool, and return the threads that compute."""
    if schedule == "default":
        if asked not in (None, 1):
            raise Unsupported("TVM's default schedule computes in one thread; option schedule: parallel takes more")
        asked = 1
    if asked is not None:
        # The pool is made once, with as many threads as the variable says, of which the function uses so many.
        os.environ["TVM_NUM_THREADS"] = str(asked)
        tvm.get_global_func("runtime.config_threadpool")(_ALL_CORES, asked)
    found = int(tvm.get_global_func("runtime.NumThreads")())
    if asked not in (None, found):
        raise Unsupported("{} threads were asked for and TVM takes {}".format(asked, found))
    return found


def _pipeline(target: Any, schedule: str) -> Any:
    """TVM's own passes for the target, with functions scheduled between fusing and lowering."""
    stages = tvm.relax.backend.cpu_generic.pipeline
    passes = stages.library_dispatch_passes(target) + stages.legalize_passes(target)
    if schedule == "parallel":
        passes.append(tvm.s_tir.dlight.ApplyDefaultSchedule(_OuterLoopsParallel()))
    passes += stages.dataflow_lower_passes(target) + stages.finalize_passes(target)

    @tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]  # tvm is not there when types are checked
    def pipeline(module: Any, _context: Any) -> Any:
        with target:
            return tvm.transform.Sequential(passes)(module)

    return pipeline


class _OuterLoopsParallel(tvm.s_tir.dlight.ScheduleRule):  # type: ignore[misc]  # likewise
    """Spread all but the last spatial loop over threads; reduce outside that last one, which LLVM then vectorises."""

    def apply(self, function: Any, target: Any, tunable: bool) -> Any:
        schedule = tvm.s_tir.Schedule(function)
        blocks = tvm.s_tir.dlight.normalize_prim_func(schedule)
        if blocks is None:
            return None
        for block in blocks:
            loops = schedule.get_loops(block.block_rv)
            kinds = block.dom_kind()
            spatial = len(kinds) - len(kinds.lstrip("S"))
            if spatial < 2 or set(kinds[spatial:]) - {"R"}:
                continue
            outer, last, reductions = loops[: spatial - 1], loops[spatial - 1], loops[spatial:]
            if reductions:
                schedule.reorder(*outer, *reductions, last)
            schedule.parallel(schedule.fuse(*outer))
            if reductions:
                schedule.decompose_reduction(block.block_rv, reductions[0])
        return schedule


def _check_names(file_name: str, what: str, asked: List[str], present: List[str]) -> None:
    for name in asked:
        if name not in present:
            raise NoSuchName(file_name, what, name, present)
