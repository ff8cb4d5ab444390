"""The inputs and outputs that an ONNX file states, read without the onnx package.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from typing import Any, List, Optional, Set, Tuple

from pytest_mlscope.host.onnx_reader import FileBytes, NotOnnx, Reader

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
