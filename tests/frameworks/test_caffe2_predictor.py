"""Caffe2 in its provisioned environment: the digits model as nets and as ONNX, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import Array, reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted, heldout

pytestmark = pytest.mark.frameworks

FILES = {"model": DIGITS / "digits-predict_net.pb", "init": DIGITS / "digits-init_net.pb"}
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def caffe2() -> Iterator[Hosted]:
    hosted = Hosted("caffe2")
    yield hosted
    hosted.host.close()


def load(caffe2: Hosted, **changes: Any) -> dict[str, Any]:
    return caffe2.load(changes.pop("files", FILES), **{"inputs": [IMAGE], "outputs": ["logits"], **changes})


def predict(caffe2: Hosted, images: Any, *, batch_size: int = 1, name: str = "image") -> dict[str, Array]:
    return caffe2.predict_tensors({name: images}, batch_size=batch_size)


def varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def chunk(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def operator(kind: str, inputs: list[str], outputs: list[str], arguments: bytes = b"") -> bytes:
    """caffe2.proto: NetDef { op = 2 }, OperatorDef { input = 1, output = 2, type = 4, arg = 5 }."""
    names = b"".join(chunk(1, name.encode()) for name in inputs) + b"".join(chunk(2, name.encode()) for name in outputs)
    return chunk(2, names + chunk(4, kind.encode()) + arguments)


def onnx_of_opset(opset: int, path: Path) -> Path:
    """The digits model, whose operators are the same from opset 9 to 13."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(DIGITS / "digits.onnx")
    model.opset_import[0].version = opset
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(caffe2: Hosted, batch_size: int) -> None:
    load(caffe2)
    images, labels = heldout()
    logits = predict(caffe2, images, batch_size=batch_size)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_onnx_is_imported_without_initialisers_among_its_inputs(caffe2: Hosted, tmp_path: Path) -> None:
    load(caffe2, files={"model": onnx_of_opset(9, tmp_path / "digits.onnx")})
    images, _ = heldout()
    logits = predict(caffe2, images[:33], batch_size=32)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images[:33]), rtol=0, atol=1e-4)


def test_an_opset_that_caffe2_reads_otherwise_is_refused(caffe2: Hosted) -> None:
    with pytest.raises(PredictorError, match=r"digits\.onnx: opset 13; Caffe2 reads up to 9"):
        load(caffe2, files={"model": DIGITS / "digits.onnx"})


def test_an_operator_that_caffe2_lacks_is_named(caffe2: Hosted, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_of_opset(9, tmp_path / "other.onnx"))
    model.graph.node[1].op_type = "HardSwish"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(PredictorError, match=r"other\.onnx: Caffe2 cannot import it: .*HardSwish"):
        load(caffe2, files={"model": tmp_path / "other.onnx"})


def test_an_example_of_the_input_in_the_init_net_is_left_out(caffe2: Hosted, tmp_path: Path) -> None:
    """Caffe2's own exporters put one there; prediction would go on with it where the fed blob is another."""
    shape = chunk(5, chunk(1, b"shape") + chunk(6, bytes([1, 1, 8, 8])))
    example = operator("ConstantFill", [], ["image"], shape)
    (tmp_path / "init_net.pb").write_bytes(FILES["init"].read_bytes() + example)
    load(caffe2, files={**FILES, "init": tmp_path / "init_net.pb"})
    images, _ = heldout()
    logits = predict(caffe2, images[:7], batch_size=7)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images[:7]), rtol=0, atol=1e-4)


def test_a_net_that_overwrites_its_input_is_timed_on_the_same_input(caffe2: Hosted, tmp_path: Path) -> None:
    """What is measured must not be the second run over what the first one left."""
    net = operator("Sqr", ["x"], ["x"]) + chunk(7, b"x") + chunk(8, b"x")
    (tmp_path / "predict_net.pb").write_bytes(net)
    load(caffe2, files={"model": tmp_path / "predict_net.pb"}, inputs=[("x", "float32", (None, 1))], outputs=["x"])
    three = {"x": np.full((1, 1), 3, np.float32)}
    path = caffe2.measure(three, batch_size=1).timed_path
    np.testing.assert_array_equal(path.bound["x"], [[9]])
    np.testing.assert_array_equal(path.predicted["x"], [[9]])


def test_bound_batches_take_turns(caffe2: Hosted) -> None:
    """Seven rows in batches of three: two of one shape and one of another."""
    load(caffe2)
    images = heldout()[0][:7]
    measured = caffe2.measure({"image": images}, batch_size=3)
    logits = measured.timed_path.bound["logits"]
    np.testing.assert_allclose(logits, reference_logits(images[:3]), rtol=0, atol=1e-4)
    assert measured.call_path == "Net.run"


@pytest.mark.parametrize("precision", ["fp32", "framework_default"])
def test_what_loading_came_to_is_told(caffe2: Hosted, precision: str) -> None:
    assert load(caffe2, precision=precision) == {"precision": "fp32", "threads": 1, "net_type": "simple"}


def test_two_threads_are_openmps_and_mkls_own() -> None:
    caffe2 = Hosted("caffe2", threads=2)
    try:
        assert load(caffe2)["threads"] == 2
    finally:
        caffe2.host.close()


def test_threads_of_a_running_process_cannot_be_changed(caffe2: Hosted) -> None:
    load(caffe2)
    caffe2.threads = 2
    try:
        with pytest.raises(CannotRun, match="2 threads were asked for and Caffe2 takes 1"):
            load(caffe2)
    finally:
        caffe2.threads = 1


def test_every_layer_is_profiled(caffe2: Hosted) -> None:
    load(caffe2)
    for size in (4, 7):
        images = heldout()[0][:size]
        layers = caffe2.profile({"image": images}, runs=5)
        assert [layer.name for layer in layers] == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "logits"]
        assert [layer.kind for layer in layers] == ["Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "FC"]
        assert layers[0].shape == (size, 16, 8, 8)
        assert layers[0].memory == 4 * size * 16 * 8 * 8
        assert layers[-1].shape == (size, 10)
        assert all((layer.seconds or 0) > 0 for layer in layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "CUDA"}, "the CPU alone"),
        ({"precision": "fp16"}, "it has no fp16"),
    ],
)
def test_what_caffe2_lacks_is_unsupported(caffe2: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(caffe2, **changes)


def test_a_quantised_net_is_not_fp32(caffe2: Hosted, tmp_path: Path) -> None:
    net = operator("Int8Relu", ["x"], ["y"]) + chunk(7, b"x") + chunk(8, b"y")
    (tmp_path / "predict_net.pb").write_bytes(net)
    with pytest.raises(CannotRun, match=r"predict_net\.pb: operator Int8Relu is not fp32"):
        load(caffe2, files={"model": tmp_path / "predict_net.pb"}, inputs=[("x", "uint8", (None, 1))], outputs=["y"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["dense"]}, "no output 'dense'; the model has logits"),
        ({"inputs": []}, "image neither given as input nor made by an init net"),
        ({"files": {"model": FILES["model"]}}, r"conv1\.weight, .* neither given as input nor made by an init net"),
    ],
)
def test_names_are_checked_at_load(caffe2: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits-predict_net\.pb: {message}"):
        load(caffe2, **changes)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.float64), "input 'image' is float64; the model wants float32"),
        (np.zeros((1, 1, 8, 12), np.float32), r"digits-predict_net\.pb: .*Dimension mismatch"),
        (np.zeros((1, 64), np.float32), r"digits-predict_net\.pb: X\.dim\(\) == filter\.dim\(\)\. 2 vs 4"),
    ],
    ids=["dtype", "width", "rank"],
)
def test_wrong_inputs_are_refused(caffe2: Hosted, images: Any, message: str) -> None:
    load(caffe2)
    with pytest.raises(PredictorError, match=message) as raised:
        predict(caffe2, images)
    assert "frame #" not in str(raised.value)
    assert predict(caffe2, np.zeros((1, 1, 8, 8), np.float32))["logits"].shape == (1, 10)


@pytest.mark.parametrize("kind", ["Python", "Load", "Save"])
def test_operators_that_reach_beyond_the_net_are_refused(caffe2: Hosted, tmp_path: Path, kind: str) -> None:
    """``Python`` would unpickle what the file holds."""
    (tmp_path / "predict_net.pb").write_bytes(FILES["model"].read_bytes() + operator(kind, [], ["more"]))
    with pytest.raises(PredictorError, match=rf"predict_net\.pb: operator {kind} reaches beyond the net"):
        load(caffe2, files={**FILES, "model": tmp_path / "predict_net.pb"})


@pytest.mark.parametrize(
    "argument",
    [chunk(8, operator("Python", [], ["more"])), chunk(4, b'op { output: "more" type: "Python" }')],
    ids=["message", "text"],
)
def test_such_operators_are_found_in_nets_within_the_net(caffe2: Hosted, tmp_path: Path, argument: bytes) -> None:
    """caffe2.proto: OperatorDef { arg = 5 }, Argument { name = 1, s = 4, n = 8 }."""
    loop = operator("If", ["image"], ["more"], chunk(5, chunk(1, b"then_net") + argument))
    (tmp_path / "predict_net.pb").write_bytes(FILES["model"].read_bytes() + loop)
    with pytest.raises(PredictorError, match="operator Python reaches beyond the net"):
        load(caffe2, files={**FILES, "model": tmp_path / "predict_net.pb"})


@pytest.mark.parametrize("role", ["model", "init"])
@pytest.mark.parametrize("content", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_corrupt_net_is_named(caffe2: Hosted, tmp_path: Path, role: str, content: bytes) -> None:
    (tmp_path / "broken.pb").write_bytes(content)
    with pytest.raises(PredictorError, match=r"broken\.pb: (not a net of Caffe2|a net without operators)"):
        load(caffe2, files={**FILES, role: tmp_path / "broken.pb"})


def test_a_truncated_net_is_named(caffe2: Hosted, tmp_path: Path) -> None:
    (tmp_path / "broken.pb").write_bytes(FILES["init"].read_bytes()[:-100])
    with pytest.raises(PredictorError, match=r"broken\.pb: not a net of Caffe2"):
        load(caffe2, files={**FILES, "init": tmp_path / "broken.pb"})


def test_unloading_frees_the_model(caffe2: Hosted) -> None:
    load(caffe2)
    predict(caffe2, np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert caffe2.host.clear(timeout=TIMEOUT)
