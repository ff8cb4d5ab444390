"""The layers of a graph with their types, as far as the onnx package can infer them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_mlscope.bisection.onnx_graph import Node, OnnxGraph, without_weights

WITHOUT_TYPES = "layer types are not known without the onnx package: pip install 'pytest-mlscope[onnx]'"


def knows_types() -> bool:
    """Whether the onnx package is there, which infers them."""
    return importlib.util.find_spec("onnx") is not None


@dataclass(frozen=True)
class TensorType:
    """As inferred for one batch."""

    element_type: int
    """ONNX's number for it."""
    shape: tuple[int | None, ...]
    """``None`` for a size that depends on values."""
    item: int
    """Bytes of an element."""

    @property
    def size(self) -> int | None:
        """Bytes; ``None`` where unknown."""
        known = [size for size in self.shape if size is not None]
        return math.prod(known) * self.item if len(known) == len(self.shape) else None


@dataclass(frozen=True)
class Layer:
    """One output of one node."""

    output: str
    node: Node
    type: TensorType | None = None
    """``None`` where unknown."""

    @property
    def size(self) -> int | None:
        """Bytes for one batch; ``None`` where unknown."""
        return self.type.size if self.type is not None else None


def layers_of(
    graph: OnnxGraph, path: Path, *, shapes: Mapping[str, Sequence[int]], present: frozenset[str]
) -> list[Layer]:
    """Every tensor that depends on the inputs and is read, in topological order.

    Sizes come from the onnx package's shape inference; without the package none is known.

    :param shapes: of the inputs, for one batch.
    :param present: tensors that the other graph has; the others are left out.
    """
    types, others = _inferred(path, shapes)
    read = graph.read()
    return [
        Layer(output, node, types.get(output))
        for node in graph.computed()
        for output in node.outputs
        if output in present and output in read and output not in others
    ]


def _inferred(path: Path, shapes: Mapping[str, Sequence[int]]) -> tuple[dict[str, TensorType], set[str]]:
    """Types of tensors by name, and names of values that are none, such as sequences."""
    if not knows_types():
        return {}, set()
    import onnx
    from onnx import shape_inference

    try:
        # Inference needs no weights, and protobuf parses no message of more than 2 GB.
        model = onnx.ModelProto.FromString(without_weights(path))
        for value in model.graph.input:
            if value.name in shapes:
                tensor_shape = value.type.tensor_type.shape
                del tensor_shape.dim[:]
                for size in shapes[value.name]:
                    tensor_shape.dim.add().dim_value = size
        for value in model.graph.output:
            # What was stated for another batch size would contradict.
            value.type.tensor_type.ClearField("shape")
        # Likewise: inference keeps what is stated.
        del model.graph.value_info[:]
        # data_prop follows the values of small tensors, from which exporters compute shapes.
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # of a graph that inference stumbles over, no size is known
        return {}, set()
    values = [*inferred.graph.value_info, *inferred.graph.output]
    types = {value.name: kind for value in values if (kind := _tensor_type(value.type)) is not None}
    others = {value.name for value in values if value.type.WhichOneof("value") not in (None, "tensor_type")}
    return types, others


def _tensor_type(described: Any) -> TensorType | None:
    from onnx import helper

    tensor = described.tensor_type
    if not tensor.elem_type or not tensor.HasField("shape"):
        return None
    shape = tuple(dimension.dim_value if dimension.HasField("dim_value") else None for dimension in tensor.shape.dim)
    return TensorType(tensor.elem_type, shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize)
