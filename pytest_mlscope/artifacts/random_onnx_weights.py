"""Give an ONNX graph without weights seeded random ones, so that it can be timed and compared across frameworks.

The ``onnx`` package ships real networks whose weights are ``ConstantOfShape`` nodes: every output is the same whatever
the input. Here each such node, and the few weights that were kept, becomes a random initialiser.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.errors import ArtifactError, CannotRun

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

_VARIANCE_OF_RELU = 0.5 - 0.5 / math.pi
"""Variance of max(0, x) for x standard normal."""
_RESIDUAL_SCALE = 0.25
"""Scale of a normalisation whose output is added to another branch, so that a long chain of sums does not grow."""
_RESHAPING = ("Reshape", "Unsqueeze")
_KEEPING_THE_SIGN = ("MaxPool", "AveragePool", "GlobalAveragePool", "LRN", "Dropout", "Concat", "Reshape", "Transpose")


def build(source: Path, destination: Path, *, seed: int) -> None:
    """Write ``source`` to ``destination`` with random weights: the same seed gives the same bytes everywhere.

    Weights of convolutions and matrix products are uniform, with the variance that keeps the activations' variance from
    layer to layer (He et al., 2015, arXiv:1502.01852), and each is followed by its opposite on the next channel, so
    that the mean of rectified activations cancels (centred weights: Huang et al., 2017, arXiv:1710.02338). Scales and
    variances are near 1, biases and means near 0.

    :param source: an ONNX file, read whole.
    :param destination: replaced at once when the file is complete.
    :raises ArtifactError: when ``source`` is not an ONNX graph or has no such weights, or a file cannot be read or
        written.
    :raises CannotRun: when the onnx package is missing.
    """
    model = read_graph(source)
    if not has_constant_weights(model):
        raise ArtifactError(f"{source}: has no ConstantOfShape weights to replace by random ones")
    replace_weights(model, seed=seed)
    try:
        # Deterministic: otherwise the order of a map's entries may change, and with it the sha256.
        _write(model.SerializeToString(deterministic=True), destination)
    except OSError as error:
        raise ArtifactError(f"{destination}: cannot be written: {error.strerror}") from None


def read_graph(source: Path) -> onnx.ModelProto:
    """Read an ONNX file whole.

    :raises ArtifactError: when it cannot be read or is not an ONNX graph.
    :raises CannotRun: when the onnx package is missing.
    """
    try:
        import onnx
    except ImportError:
        raise CannotRun(
            "a file made from an ONNX graph needs the onnx package", command="pip install 'pytest-mlscope[onnx]'"
        ) from None

    try:
        # The weights are replaced, so files of them need not be there.
        return onnx.load(source, load_external_data=False)
    except OSError as error:
        raise ArtifactError(f"{source}: cannot be read: {error.strerror}") from None
    except Exception as error:  # protobuf's own exception differs between its implementations
        raise ArtifactError(f"{source}: not an ONNX file: {' '.join(str(error).split())}") from None


class _Distribution(NamedTuple):
    """Uniform between two bounds; with ``opposites``, each value has its negative next to it along that axis."""

    low: float
    high: float
    opposites: int | None = None

    def draw(self, stream: np.random.RandomState, shape: tuple[int, ...]) -> NDArray[np.float32]:
        # Uniform, for it takes multiplication and addition alone: a normal variate needs a logarithm, whose last bit
        # differs from one C library to the next.
        values = (self.low + (self.high - self.low) * stream.random_sample(shape)).astype(np.float32)
        if self.opposites is not None:
            channels = values.swapaxes(0, self.opposites)
            odd = channels[1::2]
            odd[...] = -channels[0 : 2 * len(odd) : 2]
        return values


class _Uses:
    """Which node makes each tensor and which nodes read it."""

    def __init__(self, nodes: Iterable[onnx.NodeProto]) -> None:
        self.makers: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        for node in nodes:
            for name in node.output:
                self.makers[name] = node
            for position, name in enumerate(node.input):
                self.readers[name].append((node, position))

    def distribution(self, name: str, shape: tuple[int, ...]) -> _Distribution:
        """What a weight is drawn from, by what the first node that computes with it does with it."""
        for node, position in self.readers[name]:
            if node.op_type in _RESHAPING and position == 0:
                return self.distribution(node.output[0], shape)
            match node.op_type, position:
                case (("Conv" | "Gemm" | "MatMul"), 1):
                    return self._centred(node, shape)
                case ("BatchNormalization", 1) | ("Mul", _):
                    scale = _RESIDUAL_SCALE if self._is_summed(node) else 1.0
                    return _Distribution(0.8 * scale, 1.2 * scale)
                case "BatchNormalization", 4:
                    return _Distribution(0.8, 1.2)
            break
        return _Distribution(-0.1, 0.1)

    def _centred(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> _Distribution:
        is_transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        if node.op_type == "Conv" or is_transposed:
            fan_in, channels = math.prod(shape[1:]), 1
        else:
            fan_in, channels = shape[0], 0
        arriving = _VARIANCE_OF_RELU if self._is_rectified(node.input[0]) else 1.0
        # The variance of a uniform distribution on ±limit is limit² / 3.
        limit = math.sqrt(3 / (fan_in * arriving))
        return _Distribution(-limit, limit, opposites=channels)

    def _is_rectified(self, name: str) -> bool:
        node = self.makers.get(name)
        while node is not None and node.op_type in _KEEPING_THE_SIGN:
            node = self.makers.get(node.input[0])
        return node is not None and node.op_type == "Relu"

    def _is_summed(self, node: onnx.NodeProto) -> bool:
        return any(reader.op_type == "Sum" for reader, _ in self.readers[node.output[0]])


def _fillers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that stand for a weight."""
    stored = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type == "ConstantOfShape" and node.input[0] in stored]


def has_constant_weights(model: onnx.ModelProto) -> bool:
    """Whether there are weights to replace."""
    return bool(_fillers(model.graph))


def replace_weights(model: onnx.ModelProto, *, seed: int) -> None:
    """Put random weights in place of constant ones, as :func:`build` says."""
    from onnx import TensorProto, helper, numpy_helper

    # Not a Generator, whose stream may change with numpy's version.
    stream = np.random.RandomState(seed)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    fillers = _fillers(graph)
    # The few weights that were kept were trained together with those that were not: normalisations that divide by a
    # variance of 1e-14 or 5e4 would blow up or silence random ones.
    shapes = {name: tuple(tensor.dims) for name, tensor in stored.items() if tensor.data_type == TensorProto.FLOAT}
    for node in fillers:
        shapes[node.output[0]] = tuple(numpy_helper.to_array(stored[node.input[0]]).tolist())

    uses = _Uses(graph.node)
    weights = [
        numpy_helper.from_array(uses.distribution(name, shape).draw(stream, shape), name)
        for name, shape in shapes.items()
    ]

    for node in fillers:
        graph.node.remove(node)
    still_read = {name for node in graph.node for name in node.input}
    gone = {node.input[0] for node in fillers} - still_read
    kept = [tensor for name, tensor in stored.items() if name not in shapes and name not in gone]
    inputs = [value for value in graph.input if value.name not in gone]
    if model.ir_version < 4:
        # Before IR version 4 every initialiser must be listed among the inputs.
        listed = {value.name for value in inputs}
        inputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
            if name not in listed
        ]
    for field, values in ((graph.initializer, [*kept, *weights]), (graph.input, inputs)):
        del field[:]
        field.extend(values)


def _write(content: bytes, destination: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        unfinished.replace(destination)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
