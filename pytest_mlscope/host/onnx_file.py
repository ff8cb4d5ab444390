"""The precision that an ONNX file holds, read without the onnx package and without its weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) in protobuf's wire format
(https://protobuf.dev/programming-guides/encoding/). Weights are skipped, not read, and no more of it is kept than the
names of types and operators that matter here, so that a hostile file costs time alone, and bounded time.
"""

import os
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

MAX_FIELDS = 20000000
MAX_GRAPHS = 100000
MAX_WEIGHTS = 1000000
MAX_EXTERNAL = 10000
MAX_LOCATION = 4096
"""What has more fields outside its weights, sub-graphs in a node, or weights, is refused; real files have far fewer."""

_WINDOW_BYTES = 1 << 14
"""What is read at once, since most fields are short."""

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


class NotOnnx(ValueError):
    """The file is not an ONNX file, or a malformed one."""


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


class FileBytes(object):
    """An open file's bytes, read when they are looked at, since files may be larger than memory.

    They are not mapped: what another program cuts off a mapped file is a SIGBUS, which ends the process.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self._size = os.fstat(self._descriptor).st_size
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice) -> bytes:
        """From a first to a past-last place, both given. :raises NotOnnx: when they are no longer there."""
        at, past = place.start - self._start, place.stop - self._start
        if at >= 0 and past <= len(self._window):
            return self._window[at:past]
        start = place.start
        count = max(min(place.stop, self._size) - start, 0)
        window = b""
        while len(window) < count:
            # The system reads 2 GiB at once at the most.
            read = os.pread(self._descriptor, max(count, _WINDOW_BYTES) - len(window), start + len(window))
            if not read:
                raise NotOnnx("was cut short by another program while it was read")
            window += read
        if count <= _WINDOW_BYTES:
            self._start, self._window = start, window
        return window[:count]


class Reader(object):
    """Fields of protobuf messages in a buffer."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._fields = 0

    def text(self, start: int, end: int, limit: int = 64) -> str:
        """A name; one longer than any that matters is cut."""
        return bytes(self._data[start : min(end, start + limit)]).decode("utf-8", "replace")

    def name(self, start: int, end: int) -> int:
        """What stands for a tensor's name; never 0."""
        # A hash in place of the text, so that a million weights take little memory whatever their names' length.
        return hash(bytes(self._data[start : min(end, start + 1024)])) or 1

    def varint(self, start: int, end: int) -> Tuple[int, int]:
        """The number at a place, and the place after it."""
        value = 0
        # Ten bytes hold 64 bits; a longer varint is malformed.
        last = min(end, start + 10)
        content = self._data[start:last]
        if content and content[0] < 0x80:
            return content[0], start + 1
        for place, byte in enumerate(content):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, start + place + 1
        if last == end:
            raise NotOnnx("is cut short at byte {}".format(end))
        raise NotOnnx("is malformed at byte {}".format(last))

    def fields(self, start: int, end: int) -> Iterator[Tuple[int, int, int, int]]:
        """Number, wire type, and then a number and 0, or first and past-last byte, of each field of a message."""
        while start < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise NotOnnx("has more than {} fields".format(MAX_FIELDS))
            key, start = self.varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, start = self.varint(start, end)
                yield number, wire, value, 0
                continue
            if wire == 2:
                size, start = self.varint(start, end)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise NotOnnx("is malformed at byte {}".format(start))
            if size > end - start:
                raise NotOnnx("is cut short: a field at byte {} has {} bytes".format(start, size))
            yield number, wire, start, start + size
            start += size


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


ELEMENT_TYPES = dict(
    enumerate(
        (
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "float64",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
        ),
        1,
    )
)
"""TensorProto.DataType to its name as manifests write it."""
_OTHER_VALUES = {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}
MOST_VALUES = 10000


class TensorSignature(object):
    """What a file says of an input or output."""

    def __init__(
        self, name: str, dtype: str, shape: Optional[List[Any]], symbols: Optional[List[Optional[str]]] = None
    ) -> None:
        self.name = name
        self.dtype = dtype
        """As in ``ELEMENT_TYPES``; or ``sequence``, ``map`` or another kind of value; or empty where it is not said."""
        self.shape = shape
        """A size, or ``None`` for one that is not fixed, a dimension; ``None`` where the file does not say."""
        self.symbols = symbols or []
        """What the file calls each dimension; ``None`` for one without a name."""


def _signature(reader: Reader, start: int, end: int) -> TensorSignature:
    name, dtype = "", ""
    shape: Optional[List[Any]] = None
    symbols: List[Optional[str]] = []
    for number, wire, first, last in reader.fields(start, end):
        if number == 1 and wire == 2:
            name = reader.text(first, last, 1024)
        elif number == 2 and wire == 2:  # TypeProto
            for kind, inner_wire, begin, stop in reader.fields(first, last):
                if kind == 1 and inner_wire == 2:
                    dtype, shape, symbols = _tensor_type(reader, begin, stop)
                elif kind in _OTHER_VALUES:
                    dtype = _OTHER_VALUES[kind]
    return TensorSignature(name, dtype, shape, symbols)


def _tensor_type(reader: Reader, start: int, end: int) -> Tuple[str, Optional[List[Any]], List[Optional[str]]]:
    dtype = ""
    shape: Optional[List[Any]] = None
    symbols: List[Optional[str]] = []
    for number, wire, first, last in reader.fields(start, end):
        if number == 1 and wire == 0:
            dtype = ELEMENT_TYPES.get(first, "type {}".format(first))
        elif number == 2 and wire == 2:
            shape = []
            for dim, dim_wire, begin, stop in reader.fields(first, last):
                if dim == 1 and dim_wire == 2:
                    fields = list(reader.fields(begin, stop))
                    sizes = [value for key, kind, value, _ in fields if key == 1 and kind == 0]
                    named = [reader.text(left, right) for key, kind, left, right in fields if (key, kind) == (2, 2)]
                    symbols.append(named[0] if named and named[0] else None)
                    # What is not above zero, some exporters write for a size that is not fixed.
                    shape.append(sizes[0] if sizes and 0 < sizes[0] < 2**63 else None)
    return dtype, shape, symbols


def onnx_signature(path: str) -> Tuple[List[TensorSignature], List[TensorSignature], Set[str]]:
    """A model's inputs, its outputs, and the names of inputs that have a value in the file and may be left out.

    :raises NotOnnx: when it is no ONNX file; the message continues the file's name.
    :raises OSError: when it cannot be read.
    """
    with open(path, "rb") as stream:
        data = FileBytes(stream)
        if not len(data):
            raise NotOnnx("is empty")
        reader = Reader(data)
        inputs: List[TensorSignature] = []
        outputs: List[TensorSignature] = []
        initialisers: Set[str] = set()
        graphs = [(first, last) for n, wire, first, last in reader.fields(0, len(data)) if (n, wire) == (7, 2)]
        if not graphs:
            raise NotOnnx("has no graph")
        for number, wire, first, last in reader.fields(*graphs[0]):
            if wire != 2:
                continue
            if number in (11, 12) and len(inputs) + len(outputs) < MOST_VALUES:
                (inputs if number == 11 else outputs).append(_signature(reader, first, last))
            elif number == 5:
                for key, kind, begin, stop in reader.fields(first, last):
                    if (key, kind) == (8, 2):
                        initialisers.add(reader.text(begin, stop, 1024))
        # Before IR version 4 every weight is listed among the inputs, too.
        optional = {each.name for each in inputs} & initialisers
        return [each for each in inputs if each.name not in optional], outputs, optional
