"""MXNet in its provisioned environment: the digits model as a symbol and as ONNX, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import Array, reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted, heldout

pytestmark = pytest.mark.frameworks

FILES = {"model": DIGITS / "digits-symbol.json", "params": DIGITS / "digits.params"}
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def mxnet() -> Iterator[Hosted]:
    hosted = Hosted("mxnet")
    yield hosted
    hosted.host.close()


def load(mxnet: Hosted, **changes: Any) -> dict[str, Any]:
    return mxnet.load(changes.pop("files", FILES), **{"inputs": [IMAGE], "outputs": ["dense_output"], **changes})


def predict(mxnet: Hosted, images: Any, *, batch_size: int = 1, name: str = "image") -> dict[str, Array]:
    return mxnet.predict_tensors({name: images}, batch_size=batch_size)


def changed_symbol(folder: Path, **changes: Any) -> dict[str, Path]:
    """The digits model with the last node's keys changed."""
    symbol = json.loads(FILES["model"].read_text("utf-8"))
    symbol["nodes"][-1].update(changes)
    (folder / "changed-symbol.json").write_text(json.dumps(symbol), "utf-8")
    return {**FILES, "model": folder / "changed-symbol.json"}


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(mxnet: Hosted, batch_size: int) -> None:
    load(mxnet)
    images, labels = heldout()
    logits = predict(mxnet, images, batch_size=batch_size)["dense_output"]
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_onnx_is_imported_without_initialisers_among_its_inputs(mxnet: Hosted) -> None:
    """The file is of IR version 8; MXNet's own import takes it for a model whose weights are inputs."""
    load(mxnet, files={"model": DIGITS / "digits.onnx"}, outputs=["logits"])
    images, _ = heldout()
    logits = predict(mxnet, images[:33], batch_size=32)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images[:33]), rtol=0, atol=1e-4)


def test_an_opset_that_mxnet_reads_otherwise_is_refused(mxnet: Hosted, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(DIGITS / "digits.onnx")
    model.opset_import[0].version = 18
    onnx.save(model, tmp_path / "new.onnx")
    with pytest.raises(PredictorError, match=r"new\.onnx: opset 18; MXNet reads 9 to 17"):
        load(mxnet, files={"model": tmp_path / "new.onnx"}, outputs=["logits"])


def test_an_operator_that_mxnet_lacks_is_named(mxnet: Hosted, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(DIGITS / "digits.onnx")
    model.graph.node[1].op_type = "Mish"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(PredictorError, match=r"other\.onnx: MXNet cannot import it: .*Mish"):
        load(mxnet, files={"model": tmp_path / "other.onnx"}, outputs=["logits"])


def test_the_label_of_a_loss_layer_need_not_be_given(mxnet: Hosted, tmp_path: Path) -> None:
    """Classifiers of MXNet's time end in SoftmaxOutput, whose second input is the label to train with."""
    symbol = json.loads(FILES["model"].read_text("utf-8"))
    last = len(symbol["nodes"]) - 1
    symbol["nodes"] += [
        {"op": "null", "name": "softmax_label", "inputs": []},
        {"op": "SoftmaxOutput", "name": "softmax", "inputs": [[last, 0, 0], [last + 1, 0, 0]]},
    ]
    symbol["arg_nodes"].append(last + 1)
    symbol["heads"] = [[last + 2, 0, 0]]
    symbol["node_row_ptr"] = list(range(last + 4))
    (tmp_path / "labelled-symbol.json").write_text(json.dumps(symbol), "utf-8")
    files = {**FILES, "model": tmp_path / "labelled-symbol.json"}
    load(mxnet, files=files, outputs=["softmax_output"])
    images, _ = heldout()
    probabilities = predict(mxnet, images[:5], batch_size=5)["softmax_output"]
    exponentials = np.exp(reference_logits(images[:5]))
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-5)


def test_bound_batches_take_turns(mxnet: Hosted) -> None:
    """Seven rows in batches of three: two of one shape and one of another."""
    load(mxnet)
    images = heldout()[0][:7]
    measured = mxnet.measure({"image": images}, batch_size=3)
    logits = measured.timed_path.bound["dense_output"]
    np.testing.assert_allclose(logits, reference_logits(images[:3]), rtol=0, atol=1e-4)
    assert measured.call_path == "MXExecutorForward"


@pytest.mark.parametrize("precision", ["fp32", "framework_default"])
def test_what_loading_came_to_is_told(mxnet: Hosted, precision: str) -> None:
    expected = {"precision": "fp32", "threads": 1, "workers": 1, "context": "cpu(0)"}
    assert load(mxnet, precision=precision) == expected


def test_bf16_is_given_or_refused(mxnet: Hosted) -> None:
    flags = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        assert load(mxnet, precision="bf16")["precision"] == "bf16"
        images, _ = heldout()
        logits = predict(mxnet, images, batch_size=32)["dense_output"]
        assert 1e-4 < np.abs(logits - reference_logits(images)).max() < 0.2
    else:
        with pytest.raises(CannotRun, match="bf16 takes a CPU that computes in it"):
            load(mxnet, precision="bf16")


def test_two_threads_are_openmps_own() -> None:
    mxnet = Hosted("mxnet", threads=2)
    try:
        assert load(mxnet)["threads"] == 2
    finally:
        mxnet.host.close()


def test_threads_of_a_running_process_cannot_be_changed(mxnet: Hosted) -> None:
    mxnet.threads = 2
    try:
        with pytest.raises(CannotRun, match="2 threads were asked for and MXNet takes 1"):
            load(mxnet)
    finally:
        mxnet.threads = 1


def test_every_layer_is_profiled_again_and_again(mxnet: Hosted) -> None:
    """After a finished dump MXNet's profiler would take no further one."""
    load(mxnet)
    for size in (4, 7):
        images = heldout()[0][:size]
        layers = mxnet.profile({"image": images}, runs=5)
        kinds = [layer.kind for layer in layers]
        assert kinds == ["_sg_mkldnn_conv", "Pooling", "_sg_mkldnn_conv", "Pooling", "_sg_mkldnn_fully_connected"]
        assert [layer.name for layer in layers][1::2] == ["pool1", "pool2"]
        assert layers[0].shape == (size, 16, 8, 8)
        assert layers[0].memory == 4 * size * 16 * 8 * 8
        assert layers[-1].shape == (size, 10)
        assert all((layer.seconds or 0) > 0 for layer in layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "gpu"}, "this build of MXNet is for the CPU alone"),
        ({"device": "tpu"}, "no device tpu; it has cpu and gpu"),
        ({"precision": "fp16"}, "MXNet has no fp16"),
    ],
)
def test_what_mxnet_lacks_is_unsupported(mxnet: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(mxnet, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["dense"]}, "no output 'dense'; the model has dense_output"),
        ({"inputs": []}, "image neither given as input nor among the parameters"),
        ({"files": {"model": FILES["model"]}}, "conv1_weight, .* neither given as input nor among the parameters"),
        ({"inputs": [("image", "float32", (None, 3, 8, 8))]}, "operator conv1: Shape inconsistent"),
        ({"inputs": [("image", "float64", (None, 1, 8, 8))]}, "operator conv1: .*[Tt]ype"),
    ],
)
def test_names_and_shapes_are_checked_at_load(mxnet: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits-symbol\.json: .*{message}") as raised:
        load(mxnet, **changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.float64), "input 'image' is float64; the model wants float32"),
        (np.zeros((1, 1, 8, 12), np.float32), r"digits-symbol\.json: .*dense: Shape inconsistent"),
        (np.zeros((1, 64), np.float32), r"digits-symbol\.json: .*Input data should be 4D"),
    ],
    ids=["dtype", "width", "rank"],
)
def test_wrong_inputs_are_refused(mxnet: Hosted, images: Any, message: str) -> None:
    load(mxnet)
    with pytest.raises(PredictorError, match=message):
        predict(mxnet, images)
    assert predict(mxnet, np.zeros((1, 1, 8, 8), np.float32))["dense_output"].shape == (1, 10)


@pytest.mark.parametrize("operator", ["Custom", "_Native"])
def test_operators_that_run_code_are_refused(mxnet: Hosted, tmp_path: Path, operator: str) -> None:
    files = changed_symbol(tmp_path, op=operator)
    with pytest.raises(PredictorError, match=rf"changed-symbol\.json: operator {operator} runs code"):
        load(mxnet, files=files)


def test_such_operators_are_found_in_the_body_of_a_loop(mxnet: Hosted, tmp_path: Path) -> None:
    body = {"nodes": [{"op": "_NDArray", "name": "inner", "inputs": []}]}
    files = changed_symbol(tmp_path, op="_foreach", subgraphs=[body])
    with pytest.raises(PredictorError, match="operator _NDArray runs code"):
        load(mxnet, files=files)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"nodes": [{}]}'], ids=["empty", "none", "bytes", "op"])
def test_a_corrupt_symbol_is_named(mxnet: Hosted, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken-symbol.json").write_bytes(content)
    with pytest.raises(PredictorError, match=r"broken-symbol\.json: not the JSON of an MXNet symbol"):
        load(mxnet, files={**FILES, "model": tmp_path / "broken-symbol.json"})


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_corrupt_params_are_named(mxnet: Hosted, tmp_path: Path, kept: int) -> None:
    (tmp_path / "broken.params").write_bytes(FILES["params"].read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"broken\.params: not a \.params of MXNet"):
        load(mxnet, files={**FILES, "params": tmp_path / "broken.params"})


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_corrupt_onnx_file_is_named(mxnet: Hosted, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(PredictorError, match=r"broken\.onnx: ") as raised:
        load(mxnet, files={"model": tmp_path / "broken.onnx"})
    assert "\n" not in str(raised.value)


def test_unloading_frees_the_model(mxnet: Hosted) -> None:
    load(mxnet)
    predict(mxnet, np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert mxnet.host.clear(timeout=TIMEOUT)
