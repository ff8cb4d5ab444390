"""Write an ONNX graph as the two files of a Caffe net: ``files``, ``pooling``, ``translation``, ``operators``.

Operator by operator, so that what Caffe runs is what the graph says: nothing is fused, and a graph with something that
Caffe has no equal for is refused. Two things take several layers. An average pooling that does not count its padding is
Caffe's, which does, times a map of what to divide by instead; the transposition of a channel shuffle is a cut into
slices that are put together along the next axis.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.artifacts.onnx_to_caffe.files import Layer, caffemodel, prototxt
from pytest_mlscope.artifacts.onnx_to_caffe.operators import add_node
from pytest_mlscope.artifacts.onnx_to_caffe.translation import Inexpressible, Translation
from pytest_mlscope.artifacts.random_onnx_weights import has_constant_weights, read_graph, replace_weights
from pytest_mlscope.errors import ArtifactError

if TYPE_CHECKING:
    import onnx

CODE = sorted(Path(__file__).parent.glob("*.py"))
"""The code on which the files that are made depend, with that of :mod:`random_onnx_weights`."""


def build_prototxt(source: Path, destination: Path, *, seed: int) -> None:
    """Write the layers of an ONNX graph.

    A dynamic batch is 1; Caffe takes any. Outputs keep their names.

    :param seed: of the random weights that replace ``ConstantOfShape`` nodes, as
        :func:`pytest_mlscope.artifacts.random_onnx_weights.build` does; a graph without such keeps its own.
    :raises ArtifactError: when ``source`` is not an ONNX graph, or not one that Caffe can express.
    :raises CannotRun: when the onnx package is missing.
    :raises OSError: when ``destination`` cannot be written.
    """
    model = _model(source, seed)
    destination.write_text(prototxt(model.graph.name or source.stem, _layers(model, source)), "utf-8")


def build_caffemodel(source: Path, destination: Path, *, seed: int) -> None:
    """Write the weights of the layers that :func:`build_prototxt` writes, which see."""
    layers = _layers(_model(source, seed), source)
    with destination.open("wb") as stream:
        for chunk in caffemodel(layers):
            stream.write(chunk)


def _model(source: Path, seed: int) -> onnx.ModelProto:
    model = read_graph(source)
    if has_constant_weights(model):
        replace_weights(model, seed=seed)
    return model


def _layers(model: onnx.ModelProto, source: Path) -> list[Layer]:
    try:
        translation = Translation(model)
        for node in translation.nodes:
            try:
                add_node(translation, node)
            except Inexpressible as fault:
                raise Inexpressible(f"node {node.name!r}, {node.kind}: {fault}") from None
    except Inexpressible as fault:
        raise ArtifactError(f"{source}: Caffe cannot express it: {fault}") from None
    return translation.layers
