"""The precision that an ONNX file holds, read without the onnx package and without its weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). No more of a file is
kept than the names of types and operators that matter here.
"""

from typing import Dict, List, Set, Tuple

from pytest_mlscope.host.onnx_reader import FileBytes, NotOnnx, Reader

# Predictors take the error from here too.
__all__ = ["NotOnnx", "OnnxContent", "onnx_content"]

MAX_GRAPHS = 100000
MAX_WEIGHTS = 1000000
MAX_EXTERNAL = 10000
MAX_LOCATION = 4096
"""What has more sub-graphs in a node, or weights, is refused; real files have far fewer."""

# Integers are left out: in every file shapes and indices are integers.
_TYPES = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16"}
_TYPES.update(dict.fromkeys((17, 18, 19, 20), "fp8"))
_TYPES.update(dict.fromkeys((21, 22), "int4"))
_VALUES = (4, 5, 6, 7, 9, 10, 11)
"""Fields of a TensorProto that hold its numbers, one way or another."""
_NARROWEST_FIRST = ("int4", "fp8", "int8", "bf16", "fp16", "fp32", "fp64")
_QUANTISED = {
    "QuantizeLinear": "int8",
    "DequantizeLinear": "int8",
    "ConvInteger": "int8",
    "MatMulInteger": "int8",
    "MatMulIntegerToFloat": "int8",
    "QGemm": "int8",
    "QAttention": "int8",
    "QEmbedLayerNormalization": "int8",
    "MatMulNBits": "int4",
    "GatherBlockQuantized": "int4",
}
_QUANTISED_PREFIXES = ("QLinear", "QOrdered", "DynamicQuantize")


class OnnxContent(object):
    """What a file computes with: the narrowest that its weights, inputs, outputs and operators have."""

    def __init__(self, precision: str, evidence: List[str], external: List[str]) -> None:
        self.external = external
        """Files that hold weights of its, as it names them, relative to its folder; sorted."""
        self.precision = precision
        """``fp32``, ``fp16``, ``bf16``, ``int8``, or what manifests have no word for: ``int4``, ``fp8``, ``fp64``."""
        self.evidence = evidence
        """Where it shows: operators, or ``weights``, ``inputs``, ``outputs``, ``casts``."""

    def __str__(self) -> str:
        return "{} ({})".format(self.precision, ", ".join(self.evidence)) if self.evidence else self.precision


class _Walk(object):
    """Goes through a model, its sub-graphs and its functions, noting what there is."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: Dict[str, Set[str]] = {}
        self._graphs: List[Tuple[int, int]] = []
        self._external: Set[str] = set()
        self._weights: Dict[int, str] = {}
        """Hash of the name of a weight that is not fp32 to its precision."""

    def content(self, end: int) -> OnnxContent:
        reader = self._reader
        graphs = 0
        for number, wire, first, last in reader.fields(0, end):
            if wire == 2 and number == 7:  # ModelProto.graph
                graphs += 1
                self._graphs.append((first, last))
                self._walk_graphs()
            elif wire == 2 and number == 25:  # ModelProto.functions
                for inner, kind, start, stop in reader.fields(first, last):
                    if kind == 2 and inner == 7:  # FunctionProto.node
                        self._node(start, stop)
                        self._walk_graphs()
        if not graphs:
            raise NotOnnx("has no graph")
        for precision in _NARROWEST_FIRST:
            if precision in self._seen:
                return OnnxContent(precision, sorted(self._seen[precision]), sorted(self._external))
        return OnnxContent("fp32", [], sorted(self._external))

    def _note(self, precision: str, where: str) -> None:
        self._seen.setdefault(precision, set()).add(where)

    def _walk_graphs(self) -> None:
        # A list in place of recursion: a file may nest deeper than Python calls.
        fields = self._reader.fields
        while self._graphs:
            start, end = self._graphs.pop()
            for number, wire, first, last in fields(start, end):
                if number == 5 and wire == 2:
                    self._weight(first, last)
                elif number == 15 and wire == 2:  # sparse_initializer, whose values are its first field
                    for inner, kind, begin, stop in fields(first, last):
                        if inner == 1 and kind == 2:
                            self._weight(begin, stop)
                        elif inner == 2 and kind == 2:  # its indices, whose type says nothing
                            self._locate(begin, stop)
                elif number in (11, 12) and wire == 2:
                    self._value(first, last, "inputs" if number == 11 else "outputs")
            # Nodes last, in whatever order the file has them: they tell which weights are used, and how.
            for number, wire, first, last in fields(start, end):
                if number == 1 and wire == 2:
                    self._node(first, last)

    def _node(self, start: int, end: int) -> None:
        # Two passes, for protobuf sets no order of fields, and what an attribute means depends on the operator.
        operator, output = "", 0
        for number, wire, first, last in self._reader.fields(start, end):
            if wire == 2 and number == 4:
                operator = self._reader.text(first, last)
            elif wire == 2 and number == 2:
                output = output or self._reader.name(first, last)
        for number, wire, first, last in self._reader.fields(start, end):
            if wire == 2 and number == 5:
                self._attribute(first, last, operator, output)
            elif wire == 2 and number == 1 and operator != "Cast" and self._weights:
                precision = self._weights.get(self._reader.name(first, last))
                if precision:
                    self._note(precision, "weights")
        if operator in _QUANTISED:
            self._note(_QUANTISED[operator], operator)
        elif operator.startswith(_QUANTISED_PREFIXES):
            self._note("int8", operator)

    def _attribute(self, start: int, end: int, operator: str, output: int) -> None:
        name, value = "", 0
        for number, wire, first, last in self._reader.fields(start, end):
            if number == 1 and wire == 2:
                name = self._reader.text(first, last)
            elif number == 3 and wire == 0:
                value = first
            elif number == 5 and wire == 2:
                self._weight(first, last, output if operator == "Constant" else 0)
            elif number in (6, 11) and wire == 2:
                if len(self._graphs) == MAX_GRAPHS:
                    raise NotOnnx("has more than {} graphs side by side".format(MAX_GRAPHS))
                self._graphs.append((first, last))
        if operator == "Cast" and name == "to" and _TYPES.get(value) in ("fp16", "bf16", "fp8", "int4"):
            self._note(_TYPES[value], "casts")

    def _weight(self, start: int, end: int, name: int = 0) -> None:
        """One that a Cast widens is only stored so: it counts once another operator takes it. Scalars say nothing, for
        fp32 networks have constants of other types."""
        elements, kind = 1, 0
        for number, wire, first, last in self._reader.fields(start, end):
            if number == 1 and wire == 0:
                # Only one element or more matters, and a product of hostile sizes would have any number of digits.
                elements = min(elements * first, 2)
            elif number == 1 and wire == 2:
                while first < last:
                    size, first = self._reader.varint(first, last)
                    elements = min(elements * size, 2)
            elif number == 2 and wire == 0:
                kind = first
            elif number == 8 and wire == 2:
                name = name or self._reader.name(first, last)
            elif number == 13 and wire == 2:
                self._entry(first, last)
            elif number in _VALUES and wire != 2 and kind and name:
                # Values one by one, of which there may be any number. Packed ones are one field, often left behind
                # where another file has the values: what names that file comes after them.
                break
        precision = _TYPES.get(kind)
        if elements < 2 or precision is None:
            return
        if precision == "fp32":
            self._note(precision, "weights")
        elif len(self._weights) == MAX_WEIGHTS:
            raise NotOnnx("has more than {} weights that are not fp32".format(MAX_WEIGHTS))
        else:
            self._weights[name] = precision

    def _locate(self, start: int, end: int) -> None:
        for number, wire, first, last in self._reader.fields(start, end):
            if number == 13 and wire == 2:
                self._entry(first, last)

    def _entry(self, start: int, end: int) -> None:
        """TensorProto.external_data: a key (1) and its value (2); the key ``location`` names the file."""
        key, value = "", (0, 0)
        for number, wire, first, last in self._reader.fields(start, end):
            if number == 1 and wire == 2:
                key = self._reader.text(first, last)
            elif number == 2 and wire == 2:
                value = (first, last)
        if key == "location" and value[1] > value[0]:
            if len(self._external) == MAX_EXTERNAL:
                raise NotOnnx("names more than {} files of weights".format(MAX_EXTERNAL))
            self._external.add(self._reader.text(value[0], value[1], MAX_LOCATION))

    def _value(self, start: int, end: int, where: str) -> None:
        """ValueInfoProto.type (2) . tensor_type (1) . elem_type (1)."""
        fields = self._reader.fields
        for number, wire, first, last in fields(start, end):
            if number == 2 and wire == 2:
                for inner, kind, begin, stop in fields(first, last):
                    if inner == 1 and kind == 2:
                        self._element_type(begin, stop, where)

    def _element_type(self, start: int, end: int, where: str) -> None:
        for number, wire, value, _ in self._reader.fields(start, end):
            if number == 1 and wire == 0 and value in _TYPES:
                self._note(_TYPES[value], where)


def onnx_content(path: str) -> OnnxContent:
    """What precision a file holds.

    :raises NotOnnx: when it is not an ONNX file; the message continues the file's name.
    :raises OSError: when it cannot be read.
    """
    with open(path, "rb") as stream:
        data = FileBytes(stream)
        if not len(data):
            raise NotOnnx("is empty")
        return _Walk(Reader(data)).content(len(data))
