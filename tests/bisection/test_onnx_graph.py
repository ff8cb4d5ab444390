"""Reading an ONNX file's nodes, and the file without its weights."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mlscope.bisection.extended_file import ExtendedFile
from pytest_mlscope.bisection.layers import layers_of
from pytest_mlscope.bisection.onnx_graph import OnnxGraph, read_graph, without_weights
from pytest_mlscope.errors import MlscopeError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402  # after importorskip

DIGITS = Path(__file__).parents[2] / "model_suites" / "digits" / "digits.onnx"


def test_nodes_are_those_the_onnx_package_reads() -> None:
    graph, model = read_graph(DIGITS), onnx.load(DIGITS)
    assert [(n.name, n.op_type, n.inputs, n.outputs) for n in graph.nodes] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node
    ]
    assert (graph.inputs, graph.outputs) == (("image",), ("logits",))


def test_a_file_without_weights_is_small_and_has_their_shapes() -> None:
    small = onnx.ModelProto.FromString(without_weights(DIGITS))
    whole = onnx.load(DIGITS)
    assert small.ByteSize() < DIGITS.stat().st_size / 10
    assert [(t.name, list(t.dims)) for t in small.graph.initializer] == [
        (t.name, list(t.dims)) for t in whole.graph.initializer
    ]
    assert list(small.graph.node) == list(whole.graph.node)


def test_sizes_are_those_of_the_batch() -> None:
    graph = read_graph(DIGITS)
    layers = layers_of(graph, DIGITS, shapes={"image": (32, 1, 8, 8)}, present=graph.read())
    assert {layer.output: layer.size for layer in layers}["c2"] == 32 * 32 * 4 * 4 * 4


def _graph(tmp_path: Path) -> tuple[Path, OnnxGraph]:
    """Constants, a dropout whose mask nobody reads, and a sequence."""
    nodes = [
        helper.make_node("Add", ["w", "w"], ["constant"]),
        helper.make_node("Dropout", ["x"], ["dropped", "mask"]),
        helper.make_node("Add", ["dropped", "constant"], ["sum"]),
        helper.make_node("SequenceConstruct", ["sum"], ["list"]),
        helper.make_node("ConcatFromSequence", ["list"], ["y"], axis=0),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0] * 4)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:], [weight])), path)
    return path, read_graph(path)


def test_layers_are_tensors_that_vary_and_are_read(tmp_path: Path) -> None:
    path, graph = _graph(tmp_path)
    layers = layers_of(graph, path, shapes={"x": (2, 4)}, present=graph.read())
    assert [layer.output for layer in layers] == ["dropped", "sum", "y"]


def test_added_outputs_are_read_by_everyone(tmp_path: Path) -> None:
    """The onnx package accepts the copy with its second graph part, and the copy before is gone."""
    path, graph = _graph(tmp_path)
    layers = layers_of(graph, path, shapes={"x": (2, 4)}, present=graph.read())
    window = tuple(layers)
    with ExtendedFile(path, graph) as extended:
        copy = extended.with_outputs(window)
        model = onnx.load(copy)
        onnx.checker.check_model(model)
        assert [value.name for value in model.graph.output] == ["y", "dropped", "sum"]
        again = extended.with_outputs(window[:1])
        assert not copy.exists()
        assert [value.name for value in onnx.load(again).graph.output] == ["y", "dropped"]
    assert not again.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 25_000), byte=st.integers(0, 255), kept=st.integers(0, 26_000))
def test_what_is_malformed_is_said_in_one_line(tmp_path: Path, place: int, byte: int, kept: int) -> None:
    content = bytearray(DIGITS.read_bytes())
    content[place] = byte
    path = tmp_path / "broken.onnx"
    path.write_bytes(content[:kept])
    with contextlib.suppress(MlscopeError):
        read_graph(path)
        without_weights(path)


def test_weights_outside_the_folder_are_not_followed(tmp_path: Path) -> None:
    path, graph = _graph(tmp_path)
    outside = OnnxGraph(graph.nodes, graph.inputs, graph.outputs, ("../weights",))
    with pytest.raises(MlscopeError, match="which is not in its folder"):
        ExtendedFile(path, outside)
