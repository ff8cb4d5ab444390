"""PaddlePaddle, through Paddle Inference, on the CPU: oneDNN's kernels where it has any, Paddle's own elsewhere."""

import gc
import json
import os
import re
import statistics
import struct
from typing import Any, Dict, Iterator, List, Set

import numpy
import paddle
from paddle import inference

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
    inference.DataType.FLOAT32: "float32",
    inference.DataType.FLOAT64: "float64",
    inference.DataType.FLOAT16: "float16",
    inference.DataType.INT64: "int64",
    inference.DataType.INT32: "int32",
    inference.DataType.INT8: "int8",
    inference.DataType.UINT8: "uint8",
    inference.DataType.BOOL: "bool",
}
# What a program could do to the machine's files or ask of other machines.
_REFUSED = re.compile(r"save|save_combine|load|load_combine|read_file|py_func|(p_|partial_)?(send|recv)_?")
_NARROW_TYPES = {"t_f16", "t_bf16", "t_f8e4m3fn", "t_f8e5m2"}

# Bytes of each VarType.Type of Paddle's framework.proto that a parameter may have.
_ITEM_SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}


def _one_line(error: BaseException) -> str:
    # After the message come a hint in C++ and the place in Paddle's own source code.
    text = " ".join(str(error).split()).replace("In user code: ", "")
    return text.split(" [Hint:")[0].split(" (at /")[0][:600]


def _terms(path: str) -> Set[str]:
    """The operators and types that a program names, without their dialects' numbers.

    In Paddle's JSON every operator and type is an object whose key ``#`` holds its dialect's number and its name.
    """
    file_name = os.path.basename(path)
    try:
        with open(path, "rb") as stream:
            content = json.loads(stream.read().decode("utf-8"))
    except ValueError:
        raise RuntimeError("{}: no program of Paddle 3; save it with paddle.jit.save".format(file_name)) from None
    if not isinstance(content, dict) or "program" not in content:
        raise RuntimeError("{}: no program of Paddle 3; save it with paddle.jit.save".format(file_name))
    terms = set()
    left: List[Any] = [content["program"]]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if isinstance(item.get("#"), str):
                terms.add(item["#"].split(".", 1)[-1])
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return terms


def _varints(content: bytes) -> Iterator[int]:
    """The numbers of a message of the protocol buffers that has no other fields, tags included."""
    number = shift = 0
    for byte in bytearray(content):
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0


def _is_whole(path: str) -> bool:
    """Whether a ``.pdiparams`` ends where its last tensor does; Paddle reads on past the end of a shorter one.

    A tensor is, little-endian: version (4 bytes), number of sequence levels (8), version (4), size of the description
    (4), the description ``TensorDesc`` of Paddle's framework.proto (its type in field 1, each dimension in field 2),
    and the elements.
    """
    end = os.path.getsize(path)
    with open(path, "rb") as stream:
        while stream.tell() < end:
            header = stream.read(20)
            if len(header) < 20:
                return False
            _, levels, _, size = struct.unpack("<IQIi", header)
            numbers = list(_varints(stream.read(max(size, 0))))
            fields = list(zip(numbers[::2], numbers[1::2]))
            kinds = [value for tag, value in fields if tag == 1 << 3]
            # Parameters have no sequence levels; what has is something else, or damaged.
            if levels or len(kinds) != 1 or kinds[0] not in _ITEM_SIZES:
                return False
            count = 1
            for tag, value in fields:
                count *= value if tag == 2 << 3 else 1
            stream.seek(count * _ITEM_SIZES[kinds[0]], os.SEEK_CUR)
        return end > 0 and stream.tell() == end


class _Model(LoadedModel):
    """A predictor of Paddle's; clones of it share the weights."""

    returns_new_arrays = True

    def __init__(self, predictor: Any, request: LoadRequest) -> None:
        self._predictor = predictor
        self._file_name = os.path.basename(request.files["model"])
        self._dtypes = {}
        for name in predictor.get_input_names():
            kind = predictor.get_input_handle(name).type()
            if kind not in _DTYPES:
                raise Unsupported("{}: input {!r} is {}, which numpy lacks".format(self._file_name, name, kind))
            self._dtypes[name] = numpy.dtype(_DTYPES[kind])
        self._outputs = list(request.outputs)
        self.resolved = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """Copy the inputs in, run, and copy the outputs out."""
        self._set(self._predictor, inputs)
        self._run(self._predictor)
        return self._read(self._predictor)

    def bind(self, inputs: Tensors) -> Bound:
        """A predictor of its own, which shares the weights, with the inputs copied into it once.

        ``Predictor.run`` copies nothing, and returns when the CPU has finished.
        """
        predictor = self._predictor.clone()
        self._set(predictor, inputs)
        self._run(predictor)  # an error shows here with its name, not in the timed loop
        return Bound(predictor.run, lambda: self._read(predictor), "Predictor.run")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The operators as Paddle's profiler saw them; their names number those of one kind."""
        predictor = self._predictor.clone()
        self._set(predictor, inputs)
        self._run(predictor)
        profiles = [self._profile(predictor) for _ in range(runs)]
        kinds = [kind for kind, _ in profiles[0]]
        if not kinds or any([kind for kind, _ in profile] != kinds for profile in profiles):
            raise Unsupported("{}: Paddle's profiler tells another run each time".format(self._file_name))
        layers = []
        for place, kind in enumerate(kinds):
            seconds = statistics.median(profile[place][1] for profile in profiles)
            number = kinds[:place].count(kind) + 1
            layers.append(Layer("{}_{}".format(kind, number), kind, seconds or None))
        return layers

    def unload(self) -> None:
        self._predictor.clear_intermediate_tensor()
        self._predictor.try_shrink_memory()
        self._predictor = None
        gc.collect()

    def _profile(self, predictor: Any) -> Any:
        """Kind and seconds of each operator of one run, in order of execution."""
        profiler = paddle.profiler.Profiler(
            targets=[paddle.profiler.ProfilerTarget.CPU], on_trace_ready=lambda _profiler: None
        )
        profiler.start()
        predictor.run()
        profiler.stop()
        operators = []
        left = list(profiler.profiler_result.get_data().values())
        while left:
            node = left.pop()
            if str(node.type).endswith(".Operator"):
                # With its start, since the profiler's tree is by thread and not in order of time.
                operators.append((node.start_ns, node.name.split(".", 1)[-1], (node.end_ns - node.start_ns) * 1e-9))
            else:
                left.extend(node.children_node)
        return [(kind, seconds) for _, kind, seconds in sorted(operators)]

    def _set(self, predictor: Any, inputs: Tensors) -> None:
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))
            predictor.get_input_handle(name).copy_from_cpu(numpy.ascontiguousarray(array))

    def _run(self, predictor: Any) -> None:
        try:
            predictor.run()
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None

    def _read(self, predictor: Any) -> Tensors:
        return {name: predictor.get_output_handle(name).copy_to_cpu() for name in self._outputs}


class FrameworkPredictor(Predictor):
    """Paddle on the CPU."""

    def version(self) -> str:
        return str(paddle.__version__)

    def build_information(self) -> Dict[str, str]:
        return {
            "commit": str(paddle.version.commit),
            "cuda": str(paddle.version.cuda()),
            "mkl": str(paddle.version.mkl()),
            "bfloat16": str(paddle.base.core.supports_bfloat16()),
        }

    def load(self, request: LoadRequest) -> LoadedModel:
        """Check the program and its parameters, then make a predictor.

        ``fp32`` and ``bf16`` want a program without narrower types; ``bf16`` is oneDNN's, over fp32 weights.
        """
        if request.device != "cpu":
            raise Unsupported("Paddle runs on the processor here; it has no device " + request.device)
        onednn = bool(request.options.get("onednn", True))
        if request.precision == "bf16":
            if not onednn:
                raise Unsupported("bf16 is oneDNN's, and option onednn is false")
            if not paddle.base.core.supports_bfloat16():
                raise Unsupported("Paddle computes in bf16 on processors with AVX-512 alone")
        elif request.precision not in ("fp32", "framework_default"):
            raise Unsupported("Paddle has no {} on the processor".format(request.precision))
        self._check_program(request)
        if not _is_whole(request.files["params"]):
            raise RuntimeError(
                "{}: not the whole parameters of a Paddle program".format(os.path.basename(request.files["params"]))
            )
        config = inference.Config(request.files["model"], request.files["params"])
        config.disable_gpu()
        # Otherwise each pass over the graph writes a line to stderr.
        config.disable_glog_info()
        config.switch_ir_optim(bool(request.options.get("graph_optimization", True)))
        if request.threads is not None:
            config.set_cpu_math_library_num_threads(request.threads)
        if onednn:
            config.enable_mkldnn()
            # oneDNN keeps kernels by shape; without a limit other batch sizes would stay for ever.
            config.set_mkldnn_cache_capacity(10)
        else:
            config.disable_mkldnn()
        if request.precision == "bf16":
            config.enable_mkldnn_bfloat16()
        try:
            predictor = inference.create_predictor(config)
        except Exception as error:
            names = " and ".join(os.path.basename(request.files[role]) for role in ("model", "params"))
            raise RuntimeError("{}: {}".format(names, _one_line(error))) from None
        model = self._checked(predictor, request)
        threads = config.cpu_math_library_num_threads()
        if request.threads is not None and threads != request.threads:
            raise Unsupported("{} threads were asked for and Paddle takes {}".format(request.threads, threads))
        model.resolved = {
            "precision": "as the file states" if request.precision == "framework_default" else request.precision,
            "threads": threads,
            "onednn": config.mkldnn_enabled(),
            "graph_optimization": config.ir_optim(),
        }
        return model

    def _check_program(self, request: LoadRequest) -> None:
        terms = _terms(request.files["model"])
        file_name = os.path.basename(request.files["model"])
        refused = sorted(term for term in terms if _REFUSED.fullmatch(term))
        if refused:
            raise RuntimeError(
                "{}: has the operator {}, which reaches beyond the model".format(file_name, ", ".join(refused))
            )
        narrow = sorted(terms & _NARROW_TYPES)
        if request.precision in ("fp32", "bf16") and narrow:
            raise Unsupported("{}: has tensors of {}; the file is not fp32".format(file_name, ", ".join(narrow)))

    def _checked(self, predictor: Any, request: LoadRequest) -> LoadedModel:
        file_name = os.path.basename(request.files["model"])
        inputs = predictor.get_input_names()
        for what, asked, present in (
            ("input", [description.name for description in request.inputs], inputs),
            ("output", request.outputs, predictor.get_output_names()),
        ):
            for name in asked:
                if name not in present:
                    raise NoSuchName(file_name, what, name, present)
        missing = sorted(set(inputs) - {description.name for description in request.inputs})
        if missing:
            raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
        return _Model(predictor, request)
