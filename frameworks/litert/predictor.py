"""LiteRT, formerly TensorFlow Lite: an interpreter that computes in the types the file states."""

import os
from typing import Any, Dict, List, Optional, Set, Tuple

import ai_edge_litert
import numpy
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from pytest_mlscope.host.predictor import Bound, LoadedModel, LoadRequest, NoSuchName, Predictor, Tensors, Unsupported

Shape = Tuple[int, ...]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600]


class _Input(object):
    """Where an input is set, and what it takes; ``-1`` stands for a dynamic dimension."""

    def __init__(self, details: Dict[str, Any]) -> None:
        self.index = int(details["index"])
        self.dtype = numpy.dtype(details["dtype"])
        signature = details["shape_signature"]
        self.signature = tuple(int(size) for size in (signature if len(signature) else details["shape"]))

    def takes(self, shape: Shape) -> bool:
        return len(shape) == len(self.signature) and all(
            wanted in (-1, size) for wanted, size in zip(self.signature, shape)
        )


class _Model(LoadedModel):
    """One interpreter, whose input tensors belong to whoever set them last."""

    returns_new_arrays = True

    def __init__(
        self, file_name: str, interpreter: Any, inputs: Dict[str, _Input], outputs: Dict[str, int], resolved: Any
    ) -> None:
        self._file_name = file_name
        self._interpreter = interpreter
        self._inputs = inputs
        self._outputs = outputs
        self._shapes: Dict[str, Shape] = {}
        self._owner: Optional[object] = None
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """Set the inputs, invoke, and copy the outputs: ``get_tensor`` returns new arrays."""
        self._place(inputs, None)
        try:
            self._interpreter.invoke()
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        return self._read()

    def bind(self, inputs: Tensors) -> Bound:
        """The arrays are copied into the input tensors once, and again only when something else was predicted since."""
        owner = object()
        self.predict(inputs)  # an error shows here with the file's name, not in the timed loop
        self._place(inputs, owner)
        invoke = self._interpreter.invoke

        def run() -> None:
            if self._owner is not owner:
                self._place(inputs, owner)
            invoke()

        return Bound(run, self._read, "Interpreter.invoke")

    def unload(self) -> None:
        self._interpreter = None

    def _read(self) -> Tensors:
        get_tensor = self._interpreter.get_tensor
        return {name: numpy.ascontiguousarray(get_tensor(index)) for name, index in self._outputs.items()}

    def _place(self, inputs: Tensors, owner: Optional[object]) -> None:
        """Copy the inputs into the interpreter's tensors, resized where their shapes are others than before.

        :param owner: the bound batch that the tensors then belong to; ``None`` for a plain prediction.
        """
        if set(inputs) != set(self._inputs):
            raise ValueError("inputs {} given; the model has {}".format(sorted(inputs), sorted(self._inputs)))
        for name, wanted in self._inputs.items():
            array = inputs[name]
            if array.dtype != wanted.dtype:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, wanted.dtype))
            if not wanted.takes(array.shape):
                raise RuntimeError(
                    "{}: input {!r} is {}; the model takes {}, where -1 is any size".format(
                        self._file_name, name, array.shape, wanted.signature
                    )
                )
        shapes = {name: inputs[name].shape for name in self._inputs}
        # Nobody's until all is in place: a failure half way leaves a mixture.
        self._owner = None
        try:
            if shapes != self._shapes:
                # Forgotten first: if allocating fails, the tensors have neither the old shapes nor the new.
                self._shapes = {}
                for name, wanted in self._inputs.items():
                    self._interpreter.resize_tensor_input(wanted.index, list(shapes[name]))
                self._interpreter.allocate_tensors()
                self._shapes = shapes
            for name, wanted in self._inputs.items():
                self._interpreter.set_tensor(wanted.index, inputs[name])
        except Exception as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None
        self._owner = owner


class FrameworkPredictor(Predictor):
    """LiteRT's interpreter on the CPU."""

    def version(self) -> str:
        return str(ai_edge_litert.__version__)

    def devices(self) -> List[str]:
        return ["CPU"]

    def load(self, request: LoadRequest) -> LoadedModel:
        """Make an interpreter, with XNNPACK unless the option says otherwise.

        ``fp32`` wants a file whose floats are all float32, ``int8`` one that is int8 throughout; ``framework_default``
        takes any and records its types.
        """
        if request.device != "CPU":
            raise Unsupported("LiteRT's interpreter runs on the CPU alone, not on " + request.device)
        if request.precision not in ("fp32", "int8", "framework_default"):
            raise Unsupported("LiteRT computes in the types the file states; it has no " + request.precision)
        file_name = os.path.basename(request.files["model"])
        xnnpack = bool(request.options.get("xnnpack", True))
        resolver = OpResolverType.BUILTIN if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        # LiteRT's default is one thread; whoever asks for that gets it.
        threads = 1 if request.threads is None else request.threads
        try:
            interpreter = Interpreter(
                model_path=request.files["model"], num_threads=threads, experimental_op_resolver_type=resolver
            )
            inputs, outputs = _names(interpreter)
            ends = interpreter.get_input_details() + interpreter.get_output_details()
            precision, types = _precision(interpreter.get_tensor_details(), {int(end["index"]) for end in ends})
        except Exception as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None
        if request.precision not in (precision, "framework_default"):
            raise Unsupported(
                "{}: holds {}; the file is not {}".format(file_name, types or "no floats", request.precision)
            )
        chosen = _choose(file_name, "input", [description.name for description in request.inputs], inputs)
        missing = sorted(set(inputs) - set(chosen))
        if missing:
            raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
        resolved = {
            "precision": precision or "as the file states",
            "types": types,
            "threads": threads,
            "xnnpack": xnnpack,
        }
        return _Model(
            file_name,
            interpreter,
            {name: _Input(details) for name, details in chosen.items()},
            {
                name: int(details["index"])
                for name, details in _choose(file_name, "output", request.outputs, outputs).items()
            },
            resolved,
        )


def _names(interpreter: Any) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Inputs and outputs of the main graph, as its signature names them; by their tensors' names where it has none."""
    inputs = {details["name"]: details for details in interpreter.get_input_details()}
    outputs = {details["name"]: details for details in interpreter.get_output_details()}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        # A further signature has a graph of its own, with tensors of its own.
        if {details["name"] for details in runner.get_input_details().values()} == set(inputs):
            return dict(runner.get_input_details()), dict(runner.get_output_details())
    return inputs, outputs


def _precision(tensors: List[Dict[str, Any]], ends: Set[int]) -> Tuple[str, str]:
    """``fp32``, ``int8`` or, for other and mixed types, ``""``; and the types in words.

    int8 means that everything between the ends, inputs and outputs by their indices, is: weights, activations, and of
    other types only biases, which have 32 bits.
    """
    quantised = set()
    floats = set()
    floats_between = set()
    for tensor in tensors:
        name = numpy.dtype(tensor["dtype"]).name
        if len(tensor["quantization_parameters"]["scales"]):
            quantised.add(name)
        elif "float" in name:
            floats.add(name)
            if tensor["index"] not in ends:
                floats_between.add(name)
    precision = ""
    if not quantised and floats == {"float32"}:
        precision = "fp32"
    elif "int8" in quantised and quantised <= {"int8", "int32"} and not floats_between:
        precision = "int8"
    return precision, ", ".join(sorted(floats) + ["quantised " + name for name in sorted(quantised)])


def _choose(file_name: str, what: str, asked: List[str], present: Dict[str, Any]) -> Dict[str, Any]:
    for name in asked:
        if name not in present:
            raise NoSuchName(file_name, what, name, present)
    return {name: present[name] for name in asked}
