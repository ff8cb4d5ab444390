"""How far a graph is translated: the layers so far, and what is known of each tensor."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_mlscope.artifacts.onnx_to_caffe.files import Array, Layer

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

_SHARE_MEMORY = ("Reshape", "Flatten")
"""Layers whose top is the same memory as their bottom."""


class Inexpressible(Exception):  # noqa: N818  # says what it is that Caffe lacks
    """Something that Caffe has no equal for."""


class Node:
    """An ONNX node. ``name`` is unique in the graph."""

    def __init__(self, node: onnx.NodeProto, name: str) -> None:
        from onnx import helper

        self.name = name
        self.kind = node.op_type
        self.inputs = [tensor for tensor in node.input if tensor]
        self.output = node.output[0]
        self._attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}

    def get(self, name: str, default: Any) -> Any:
        return self._attributes.get(name, default)

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """An attribute with a value for rows and one for columns."""
        values = self.get(name, [default, default])
        if len(values) != 2:
            raise Inexpressible(f"{name} {list(values)}; two dimensions are known")
        return values[0], values[1]

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Above, left, below, right."""
        if self.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise Inexpressible("auto_pad; state the pads themselves")
        above, left, below, right = self.get("pads", [0, 0, 0, 0])
        return above, left, below, right


class Translation:
    """The Caffe net that a graph becomes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        graph = model.graph
        self.opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self.constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.shapes: dict[str, Shape] = {}
        self.layers: list[Layer] = []
        names = Counter(node.name for node in graph.node)
        self.nodes = [
            # Caffe finds weights by a layer's name. ONNX nodes may have none or share one; outputs are always unique.
            Node(node, node.name if names[node.name] == 1 and node.name else node.output[0])
            for node in graph.node
        ]
        self._readers = Counter(tensor for node in self.nodes for tensor in node.inputs)
        self._outputs = {value.name for value in graph.output}
        self._blobs: dict[str, str] = {}
        # Blobs that no layer may overwrite: inputs stay for the next pass, and some share another's memory.
        self._unchangeable: set[str] = set()
        for value in graph.input:
            if value.name not in self.constants:
                self._add_input(value)

    def _add_input(self, value: onnx.ValueInfoProto) -> None:
        tensor = value.type.tensor_type
        first, *others = [dimension.dim_value for dimension in tensor.shape.dim] or [0]
        if tensor.elem_type != 1 or not all(others):
            raise Inexpressible(f"input {value.name!r}, which is not float32 of fixed size")
        shape = (first or 1, *others)
        parameters = {"input_param": {"shape": {"dim": list(shape)}}}
        self.layers.append(Layer(value.name, "Input", [], [value.name], parameters))
        self._blobs[value.name], self.shapes[value.name] = value.name, shape
        self._unchangeable.add(value.name)

    def constant(self, node: Node, position: int, what: str) -> Array:
        """A weight that the node reads."""
        array = self.constants.get(node.inputs[position])
        if array is None:
            raise Inexpressible(f"a computed {what}")
        return array

    def blob(self, tensor: str) -> str:
        """The blob that holds a tensor; where layers compute in place, several tensors' own."""
        return self._blobs[tensor]

    def is_read_once(self, tensor: str) -> bool:
        return self._readers[tensor] == 1 and tensor not in self._outputs

    def add(
        self,
        node: Node,
        kind: str,
        parameters: dict[str, Any],
        shape: Shape,
        *,
        blobs: tuple[Array, ...] = (),
        bottoms: list[str] | None = None,
        in_place: bool = False,
    ) -> None:
        """The layer that makes the node's output of shape ``shape``; ``in_place`` where its input's memory is free."""
        bottoms = [self._blobs[node.inputs[0]]] if bottoms is None else bottoms
        free = in_place and self.is_read_once(node.inputs[0]) and node.output not in self._outputs
        top = bottoms[0] if free and bottoms[0] not in self._unchangeable else node.output
        self.layers.append(Layer(node.name, kind, bottoms, [top], parameters, list(blobs)))
        self._blobs[node.output], self.shapes[node.output] = top, shape
        if kind in _SHARE_MEMORY:
            self._unchangeable.add(top)

    def then(self, suffix: str, kind: str, parameters: dict[str, Any], *blobs: Array) -> None:
        """One layer more, in place on the latest one's output."""
        latest = self.layers[-1]
        name = f"{latest.name}/{suffix}"
        self.layers.append(Layer(name, kind, latest.tops, latest.tops, parameters, list(blobs)))
