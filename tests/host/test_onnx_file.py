"""What precision an ONNX file holds, told from its bytes alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mlscope.host import onnx_reader
from pytest_mlscope.host.onnx_file import NotOnnx, onnx_content
from pytest_mlscope.host.onnx_reader import FileBytes

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # after importorskip

DIGITS = Path(__file__).parents[2] / "model_suites" / "digits"
FLOAT, HALF, BFLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE
Model = Callable[..., str]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A file with these nodes and weights, between an input ``x`` and an output ``y`` of a type."""

    def write(
        nodes: Sequence[Any], weights: Sequence[Any] = (), *, ends: int = FLOAT, functions: Sequence[Any] = ()
    ) -> str:
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [helper.make_tensor_value_info("x", ends, ["n", 4])],
            [helper.make_tensor_value_info("y", ends, ["n", 4])],
            list(weights),
        )
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, functions=list(functions)), path)
        return str(path)

    return write


def weight(name: str, kind: int, *shape: int) -> Any:
    return helper.make_tensor(name, kind, shape, [1.0] * int(np.prod(shape, dtype=int)))


@pytest.mark.parametrize(
    ("file", "precision", "evidence"),
    [
        ("digits.onnx", "fp32", ["inputs", "outputs", "weights"]),
        ("digits-fp16.onnx", "fp16", ["casts", "weights"]),
        ("digits-int8.onnx", "int8", ["DequantizeLinear", "QuantizeLinear"]),
    ],
)
def test_the_digits(file: str, precision: str, evidence: list[str]) -> None:
    """The precision of the shipped files, and where it shows."""
    content = onnx_content(str(DIGITS / file))
    assert (content.precision, content.evidence) == (precision, evidence)


@pytest.mark.parametrize(("kind", "precision"), [(HALF, "fp16"), (BFLOAT, "bf16"), (DOUBLE, "fp64"), (FLOAT, "fp32")])
def test_inputs_and_outputs_tell(model: Model, kind: int, precision: str) -> None:
    assert (
        str(onnx_content(model([helper.make_node("Relu", ["x"], ["y"])], ends=kind)))
        == f"{precision} (inputs, outputs)"
    )


@pytest.mark.parametrize(
    ("operator", "domain", "precision"),
    [
        ("QLinearConv", "", "int8"),
        ("QLinearAdd", "com.microsoft", "int8"),
        ("DynamicQuantizeLinear", "", "int8"),
        ("MatMulInteger", "", "int8"),
        ("DynamicQuantizeMatMul", "com.microsoft", "int8"),
        ("MatMulNBits", "com.microsoft", "int4"),
        ("MatMul", "", "fp32"),
    ],
)
def test_operators_tell(model: Model, operator: str, domain: str, precision: str) -> None:
    assert onnx_content(model([helper.make_node(operator, ["x"], ["y"], domain=domain)])).precision == precision


def test_a_weight_counts_where_something_computes_with_it(model: Model) -> None:
    """Weights stored in fp16 that a Cast widens are computed with in fp32."""
    stored = weight("w", HALF, 4)
    assert onnx_content(model([helper.make_node("Add", ["x", "w"], ["y"])], [stored])).precision == "fp16"
    widened = [helper.make_node("Cast", ["w"], ["wide"], to=FLOAT), helper.make_node("Add", ["x", "wide"], ["y"])]
    assert onnx_content(model(widened, [stored])).precision == "fp32"


def test_a_scalar_of_another_type_says_nothing(model: Model) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    assert onnx_content(model(nodes, [weight("w", HALF)])).precision == "fp32"
    assert onnx_content(model(nodes, [weight("w", HALF, 1)])).precision == "fp32"


def test_constants_count_as_weights(model: Model) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=weight("", BFLOAT, 4))
    assert onnx_content(model([constant, helper.make_node("Add", ["x", "w"], ["y"])])).precision == "bf16"
    assert onnx_content(model([constant, helper.make_node("Relu", ["x"], ["y"])])).precision == "fp32"


def test_sub_graphs_and_functions_are_looked_into(model: Model) -> None:
    """One quantised operator within three nested branches, or in a function, makes the file int8."""
    quantise = helper.make_node("QLinearConv", ["x"], ["y"])
    branch = helper.make_graph([quantise], "branch", [], [helper.make_tensor_value_info("y", FLOAT, None)])
    for _ in range(3):
        nested = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        branch = helper.make_graph([nested], "outer", [], [helper.make_tensor_value_info("y", FLOAT, None)])
    assert onnx_content(model([nested])).precision == "int8"
    function = helper.make_function("mine", "F", ["x"], ["y"], [quantise], [helper.make_opsetid("", 21)])
    assert onnx_content(
        model([helper.make_node("F", ["x"], ["y"], domain="mine")], functions=[function])
    ).precision == ("int8")


def test_weights_that_lie_in_another_file_need_not_be_there(model: Model, tmp_path: Path) -> None:
    stored = numpy_helper.from_array(np.ones(4, np.float16), "w")
    onnx.external_data_helper.set_external_data(stored, "elsewhere")
    stored.ClearField("raw_data")
    assert onnx_content(model([helper.make_node("Add", ["x", "w"], ["y"])], [stored])).precision == "fp16"


@pytest.mark.parametrize("left", [b"", bytes(8)], ids=["empty", "old"])
def test_a_file_of_weights_counts_whatever_values_are_left_beside_it(model: Model, left: bytes) -> None:
    """Some writers leave the field of the values behind, which comes first; frameworks read the other file."""
    stored = numpy_helper.from_array(np.ones(4, np.float16), "w")
    onnx.external_data_helper.set_external_data(stored, "elsewhere")
    stored.ClearField("raw_data")
    path = Path(model([helper.make_node("Add", ["x", "w"], ["y"])], [stored]))
    written = onnx.load(path, load_external_data=False)
    written.graph.initializer[0].raw_data = left
    path.write_bytes(written.SerializeToString())
    assert onnx_content(str(path)).external == ["elsewhere"]


def test_a_file_that_is_cut_short_while_it_is_read_is_said(tmp_path: Path) -> None:
    """Mapped, it would be a SIGBUS, which ends the process."""
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(range(256)) * 1024)
    with path.open("rb") as stream:
        data = FileBytes(stream)
        assert data[300:303] == b"\x2c\x2d\x2e"
        assert data[250_000:250_002] == b"\x90\x91"
        assert data[len(data) - 1 : len(data) + 9] == b"\xff"
        assert data[5:2] == b""
        assert data[10:200_000] == path.read_bytes()[10:200_000]
        os.truncate(path, 4096)
        with pytest.raises(NotOnnx, match="was cut short by another program while it was read"):
            data[100_000:100_001]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x08\x08", "has no graph"),
        (b"ORTM" * 8, "malformed|cut short"),
        (b"\x3a\xff\xff\xff\xff\x7f", "a field at byte 6 has"),
        (b"\x3a" + b"\xff" * 20, "is malformed at byte"),
        (b"\x3a\x01\x0b", "is malformed at byte"),
    ],
)
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(NotOnnx, match=message):
        onnx_content(str(path))


def test_there_is_an_end_to_what_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile file with endless fields is refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" * 200)
    monkeypatch.setattr(onnx_reader, "MAX_FIELDS", 100)
    with pytest.raises(NotOnnx, match="more than 100 fields"):
        onnx_content(str(path))


def test_graphs_nested_deeper_than_python_calls(tmp_path: Path) -> None:
    """Each level: GraphProto.node (1) . attribute (5) . g (6)."""

    def field(key: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        return bytes([key]) + length + bytes([size]) + content

    graph = b""
    for _ in range(3000):
        graph = field(0x0A, field(0x2A, field(0x32, graph)))
    path = tmp_path / "model.onnx"
    path.write_bytes(field(0x3A, graph))
    assert onnx_content(str(path)).precision == "fp32"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_told_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever bytes are changed, the answer is a known precision or NotOnnx, never another exception."""
    original = bytearray((DIGITS / "digits-int8.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.onnx"
    path.write_bytes(original[: data.draw(st.integers(0, len(original)))])
    try:
        assert onnx_content(str(path)).precision in ("int4", "fp8", "int8", "bf16", "fp16", "fp32", "fp64")
    except NotOnnx as error:
        assert str(error).startswith(("is ", "has "))  # noqa: PT017  # whether it is raised depends on the bytes
