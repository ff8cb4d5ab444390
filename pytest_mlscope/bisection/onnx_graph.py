"""The nodes of an ONNX file, and the file without its weights; neither takes memory for the weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) in protobuf's wire format
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_mlscope.errors import ArtifactError, MlscopeError
from pytest_mlscope.host.onnx_reader import FileBytes, NotOnnx, Reader

KEPT_VALUES = 1024
"""Bytes of a weight that are kept in a file without weights: shapes of other tensors may depend on its values."""

_VALUES = frozenset({4, 5, 6, 7, 9, 10, 11, 13, 14})
"""Fields of a TensorProto that hold its numbers, or say where they are."""
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALISER, _GRAPH_SPARSE, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 1, 5, 15, 11, 12
_NODE_ATTRIBUTE, _ATTRIBUTE_TENSOR = 5, 5
_BYTES = 2
"""The wire type of text, bytes and messages."""


@dataclass(frozen=True)
class Node:
    """One operator. Names are of tensors; an optional one that is not given is empty."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """The main graph; what lies inside a loop's or a branch's body is the node's own affair."""

    nodes: tuple[Node, ...]
    """In the file's order, which is topological."""
    inputs: tuple[str, ...]
    """Those that must be given."""
    outputs: tuple[str, ...]
    external_files: tuple[str, ...]
    """Files of weights, relative to the ONNX file's folder."""

    def read(self) -> frozenset[str]:
        """Tensors that a node or whoever runs the model reads; the mask of a dropout, say, is often for nobody."""
        return frozenset(self.outputs).union(*(node.inputs for node in self.nodes))

    def computed(self) -> list[Node]:
        """Nodes that compute with what the model is given; the others give constants."""
        # Enough in one pass, since a graph's nodes stand in topological order.
        varying = set(self.inputs)
        nodes = []
        for node in self.nodes:
            if not varying.isdisjoint(node.inputs):
                nodes.append(node)
                varying.update(name for name in node.outputs if name)
        return nodes


def read_graph(path: Path) -> OnnxGraph:
    """:raises ArtifactError: when it cannot be read.
    :raises MlscopeError: when it is not an ONNX file.
    """
    with _opened(path) as (data, reader):
        nodes: list[Node] = []
        inputs: list[str] = []
        outputs: list[str] = []
        stored: set[str] = set()
        files: dict[str, None] = {}

        def text(start: int, end: int) -> str:
            return bytes(data[start:end]).decode("utf-8", "replace")

        for number, start, end in _parts(reader, *_graph(reader, len(data))):
            if number == _GRAPH_NODE:
                nodes.append(_node(reader, start, end, text))
            elif number == _GRAPH_INITIALISER:
                name, locations = _weight(reader, start, end, text)
                stored.add(name)
                # A dict in place of a set keeps the file's order.
                files.update(dict.fromkeys(locations))
            elif number == _GRAPH_SPARSE:
                values = next((part for part in _parts(reader, start, end) if part[0] == 1), None)
                if values is not None:
                    stored.add(_weight(reader, *values[1:], text)[0])
            elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                name = next((text(*part[1:]) for part in _parts(reader, start, end) if part[0] == 1), "")
                (inputs if number == _GRAPH_INPUT else outputs).append(name)
    # A file of another format may parse as protobuf, too.
    if not nodes:
        raise MlscopeError(f"{path}: is not an ONNX file, or one without nodes")
    # Before IR version 4 every initialiser is listed among the inputs too.
    given = tuple(name for name in inputs if name not in stored)
    return OnnxGraph(tuple(nodes), given, tuple(outputs), tuple(files))


def without_weights(path: Path) -> bytes:
    """The model with the values of all weights above ``KEPT_VALUES`` left out. Raises as :func:`read_graph`."""
    with _opened(path) as (data, reader):
        return _rewritten(data, reader, 0, len(data), "model")


_INSIDE = {
    ("model", _MODEL_GRAPH): "graph",
    ("graph", _GRAPH_NODE): "node",
    ("graph", _GRAPH_INITIALISER): "tensor",
    ("node", _NODE_ATTRIBUTE): "attribute",
    ("attribute", _ATTRIBUTE_TENSOR): "tensor",
}


def _rewritten(data: Any, reader: Reader, start: int, end: int, message: str) -> bytes:
    large = end - start > KEPT_VALUES
    made = bytearray()
    for number, wire, first, last in reader.fields(start, end):
        if message == "tensor" and number in _VALUES and large:
            continue
        made += _varint(number << 3 | wire)
        if wire == 0:
            made += _varint(first)
            continue
        inside = _INSIDE.get((message, number)) if wire == _BYTES else None
        content = _rewritten(data, reader, first, last, inside) if inside else bytes(data[first:last])
        made += (_varint(len(content)) if wire == _BYTES else b"") + content
    return bytes(made)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """A field of a whole number, not negative."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[FileBytes, Reader]]:
    try:
        with path.open("rb") as stream:
            data = FileBytes(stream)
            if not len(data):
                raise NotOnnx("is empty")
            yield data, Reader(data)
    except NotOnnx as error:
        raise MlscopeError(f"{path}: is not an ONNX file: it {error}") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None


def _parts(reader: Reader, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and past-last byte of the fields that are text, bytes or messages."""
    for number, wire, first, last in reader.fields(start, end):
        if wire == _BYTES:
            yield number, first, last


def _graph(reader: Reader, end: int) -> tuple[int, int]:
    graphs = [part[1:] for part in _parts(reader, 0, end) if part[0] == _MODEL_GRAPH]
    # A second graph would be merged by protobuf's readers, and this reader does not merge.
    if len(graphs) != 1:
        raise NotOnnx("has no graph" if not graphs else "has its graph in several parts")
    return graphs[0]


def _node(reader: Reader, start: int, end: int, text: Any) -> Node:
    names: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    for number, first, last in _parts(reader, start, end):
        if number in names:
            names[number].append(text(first, last))
    # Name and type stand once at most; joined, an absent one is empty.
    return Node("".join(names[3]), "".join(names[4]), tuple(names[1]), tuple(names[2]))


def _weight(reader: Reader, start: int, end: int, text: Any) -> tuple[str, list[str]]:
    """A TensorProto's name, and the file its values are in, where they are in one."""
    name, locations = "", []
    for number, first, last in _parts(reader, start, end):
        if number == 8:
            name = text(first, last)
        elif number == 13:  # external_data: key 1, value 2
            entry = {key: text(*place) for key, *place in _parts(reader, first, last)}
            if entry.get(1) == "location":
                locations.append(entry.get(2, ""))
    return name, locations
