"""An ONNX graph becomes a Caffe net, or is refused with the node that Caffe has nothing for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mlscope.artifacts.builders import BUILDERS
from pytest_mlscope.artifacts.onnx_to_caffe.files import Layer, Word, prototxt
from pytest_mlscope.artifacts.onnx_to_caffe.pooling import ROUNDINGS, Axis, Rounding
from pytest_mlscope.errors import ArtifactError

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A graph of one input ``x`` and one output ``y``, made of nodes and weights."""

    def write(nodes: list[Any], *, shape: list[Any], weights: dict[str, Any] | None = None, opset: int = 9) -> Path:
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
        )
        path = tmp_path / "graph.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
        return path

    return write


@pytest.fixture
def built(tmp_path: Path) -> Callable[[Path], str]:
    """The prototxt of a graph."""

    def build(source: Path) -> str:
        BUILDERS["caffe_prototxt"].build(source, tmp_path / "net.prototxt", seed=0)
        return (tmp_path / "net.prototxt").read_text("utf-8")

    return build


def test_the_prototxt_is_protocol_buffers_text() -> None:
    """Enumerations stand without quotes; other text is escaped by octal numbers."""
    layer = Layer('a "b"\\é', "Pooling", ["x"], ["y"], {"pooling_param": {"pool": Word("AVE"), "global_pooling": True}})
    assert prototxt("net", [layer]) == (
        'name: "net"\n'
        "layer {\n"
        '  name: "a \\042b\\042\\134\\303\\251"\n'
        '  type: "Pooling"\n'
        '  bottom: "x"\n'
        '  top: "y"\n'
        "  pooling_param {\n"
        "    pool: AVE\n"
        "    global_pooling: true\n"
        "  }\n"
        "}\n"
    )


def test_a_dynamic_batch_stays_free_through_a_reshape(write: Write, built: Callable[[Path], str]) -> None:
    source = write(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        shape=["batch", 2, 3],
        weights={"shape": np.array([1, -1], np.int64)},
    )
    text = " ".join(built(source).split())
    assert "input_param { shape { dim: 1 dim: 2 dim: 3 } }" in text
    assert "reshape_param { shape { dim: 0 dim: -1 } }" in text


def test_layers_compute_in_place_only_where_nobody_else_reads(write: Write, built: Callable[[Path], str]) -> None:
    """``a`` is read twice, and what a reshape made shares its memory."""
    source = write(
        [
            helper.make_node("LRN", ["x"], ["a"], size=3),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Sum", ["a", "c"], ["d"]),
            helper.make_node("Reshape", ["d", "shape"], ["e"]),
            helper.make_node("Relu", ["e"], ["f"]),
            helper.make_node("Relu", ["f"], ["y"]),
        ],
        shape=[1, 2, 3, 3],
        weights={"shape": np.array([0, -1], np.int64)},
    )
    lines = [line.split()[-1].strip('"') for line in built(source).splitlines() if line.startswith("  top:")]
    assert lines == ["x", "a", "b", "b", "d", "e", "f", "y"]


def test_the_same_graph_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    source = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    build = BUILDERS["caffe_weights"].build
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        build(source, tmp_path / name, seed=seed)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


@pytest.mark.parametrize(
    ("node", "weights", "message"),
    [
        (
            helper.make_node("Conv", ["x", "w"], ["y"], "c", pads=[0, 0, 1, 1]),
            {"w": np.zeros((1, 2, 3, 3), np.float32)},
            "node 'c', Conv: padding that differs at the two ends",
        ),
        (
            helper.make_node("Conv", ["x", "x"], ["y"], "c"),
            {},
            "node 'c', Conv: a computed weight",
        ),
        (
            helper.make_node("MaxPool", ["x"], ["y"], "p", kernel_shape=[3, 3], strides=[1, 1], pads=[0, 0, 1, 1]),
            {},
            "p",
        ),
        (helper.make_node("MaxPool", ["x"], ["y"], "p", kernel_shape=[2, 2], auto_pad="SAME_UPPER"), {}, "auto_pad"),
        (helper.make_node("Transpose", ["x"], ["y"], "t", perm=[0, 3, 1, 2]), {}, "the order [0, 3, 1, 2]"),
        (helper.make_node("Softmax", ["x"], ["y"], "s", axis=1), {}, "a softmax over several dimensions"),
        (helper.make_node("Mul", ["x", "w"], ["y"], "m"), {"w": np.zeros((8, 8), np.float32)}, "one for each channel"),
        (helper.make_node("Erf", ["x"], ["y"], "e"), {}, "node 'e', Erf: known are Add, AveragePool, "),
    ],
)
def test_what_caffe_lacks_is_refused(
    write: Write, built: Callable[[Path], str], node: Any, weights: dict[str, Any], message: str
) -> None:
    source = write([node], shape=[1, 2, 8, 8], weights=weights)
    with pytest.raises(ArtifactError) as raised:
        built(source)
    assert str(raised.value).startswith(f"{source}: Caffe cannot express it: ")
    assert message in str(raised.value)


def test_a_dynamic_image_is_refused(write: Write, built: Callable[[Path], str]) -> None:
    """Only the batch may be dynamic: Caffe's layers have sizes."""
    source = write([helper.make_node("Relu", ["x"], ["y"])], shape=["batch", 3, "height", "width"])
    with pytest.raises(ArtifactError, match="input 'x', which is not float32 of fixed size"):
        built(source)


def test_what_is_no_graph_is_refused(tmp_path: Path, built: Callable[[Path], str]) -> None:
    (tmp_path / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"text\.onnx: not an ONNX file"):
        built(tmp_path / "text.onnx")


def pooled_by_caffe(rows: Axis, columns: Axis, rounding: Rounding) -> tuple[int, int]:
    """``PoolingLayer::Reshape`` of Caffe's pooling_layer.cpp, line by line."""
    round_off = math.ceil if rounding == "CEIL" else math.floor
    pad_h, pad_w = rows.begin, columns.begin
    pooled_height = round_off((rows.size + 2 * pad_h - rows.kernel) / rows.stride) + 1
    pooled_width = round_off((columns.size + 2 * pad_w - columns.kernel) / columns.stride) + 1
    if pad_h or pad_w:
        if (pooled_height - 1) * rows.stride >= rows.size + pad_h:
            pooled_height -= 1
        if (pooled_width - 1) * columns.stride >= columns.size + pad_w:
            pooled_width -= 1
        assert (pooled_height - 1) * rows.stride < rows.size + pad_h
        assert (pooled_width - 1) * columns.stride < columns.size + pad_w
    return pooled_height, pooled_width


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    """One that Caffe takes: its padding is less than its window, which fits the padded image."""
    kernel = draw(st.integers(1, 6))
    begin = draw(st.integers(0, kernel - 1))
    size = draw(st.integers(max(1, kernel - 2 * begin), 20))
    return Axis(size, kernel, draw(st.integers(1, 7)), begin, begin, draw(st.booleans()))


@given(axes(), axes(), st.sampled_from(ROUNDINGS))
# Padded on the other axis alone, with windows further apart than they are wide.
@example(Axis(5, 1, 3, 0, 0), Axis(5, 3, 1, 1, 1), "CEIL")
def test_caffe_makes_as_many_windows_as_its_own_rule_says(rows: Axis, columns: Axis, rounding: Rounding) -> None:
    padded = bool(rows.begin or columns.begin)
    made = (rows.caffe_windows(rounding, padded=padded), columns.caffe_windows(rounding, padded=padded))
    assert made == pooled_by_caffe(rows, columns, rounding)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
def test_onnx_drops_a_window_beyond_the_image_where_it_rounds_up(padding: int, ceil: int) -> None:
    """As ONNX says and ONNX Runtime does; its release 1.20 still kept such a window."""
    runtime = pytest.importorskip("onnxruntime", minversion="1.32")
    for size, kernel, stride in itertools.product(range(2, 7), (1, 2, 3), (1, 2, 3, 4)):
        if padding >= kernel or size + 2 * padding < kernel:
            continue
        attributes = {"kernel_shape": [1, kernel], "strides": [1, stride], "pads": [0, padding, 0, padding]}
        node = helper.make_node("MaxPool", ["x"], ["y"], ceil_mode=ceil, **attributes)
        float32 = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            [node],
            "graph",
            [helper.make_tensor_value_info("x", float32, [1, 1, 1, size])],
            [helper.make_tensor_value_info("y", float32, [1, 1, 1, "windows"])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (pooled,) = session.run(None, {"x": np.zeros((1, 1, 1, size), np.float32)})
        assert Axis(size, kernel, stride, padding, padding, bool(ceil)).windows == pooled.shape[3]
