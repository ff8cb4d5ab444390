"""TVM in its provisioned environment: the digits model compiled by either schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import reference_logits
from tests.frameworks.hosted import TIMEOUT, heldout
from tests.frameworks.hosted_digits import HostedDigits

pytestmark = pytest.mark.frameworks

PARALLEL = {"schedule": "parallel"}


@pytest.fixture(scope="module")
def tvm() -> Iterator[HostedDigits]:
    hosted = HostedDigits("tvm", "digits.onnx")
    yield hosted
    hosted.host.close()


@pytest.fixture(scope="module")
def tvm_on_two_threads() -> Iterator[HostedDigits]:
    hosted = HostedDigits("tvm", "digits.onnx", threads=2)
    yield hosted
    hosted.host.close()


@pytest.mark.parametrize("schedule", ["default", "parallel"])
def test_digits_are_read_as_by_numpy(tvm: HostedDigits, schedule: str) -> None:
    """One compilation takes every batch size."""
    resolved = tvm.load_digits(options={"schedule": schedule})
    assert resolved["schedule"] == schedule
    assert resolved["precision"] == "fp32"
    assert resolved["threads"] == 1
    images, labels = heldout()
    for batch_size in (1, 32, 450):
        logits = tvm.predict(images, batch_size=batch_size)
        np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
        assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_the_timed_path_is_a_saved_function(tvm: HostedDigits) -> None:
    tvm.load_digits()
    images = heldout()[0][:7]
    logits, call_path = tvm.timed(images, batch_size=4)
    np.testing.assert_allclose(logits, reference_logits(images[:4]), rtol=0, atol=1e-4)
    assert call_path == "VirtualMachine.save_function"


def test_two_threads_take_the_parallel_schedule(tvm_on_two_threads: HostedDigits) -> None:
    tvm = tvm_on_two_threads
    with pytest.raises(CannotRun, match="default schedule computes in one thread"):
        tvm.load_digits()
    assert tvm.load_digits(options=PARALLEL)["threads"] == 2
    images = heldout()[0][:32]
    np.testing.assert_allclose(tvm.predict(images, batch_size=32), reference_logits(images), rtol=0, atol=1e-4)


def test_an_unknown_schedule_is_named(tvm: HostedDigits) -> None:
    with pytest.raises(PredictorError, match="option schedule: 'tuned' is not one of default, parallel"):
        tvm.load_digits(options={"schedule": "tuned"})


def test_every_compiled_function_is_profiled(tvm: HostedDigits) -> None:
    tvm.load_digits()
    layers = tvm.layers(heldout()[0][:4])
    assert [(layer.kind, layer.shape) for layer in layers] == [
        ("fused_conv2d_add_relu", (4, 16, 8, 8)),
        ("max_pool2d", (4, 16, 4, 4)),
        ("fused_conv2d_add_relu", (4, 32, 4, 4)),
        ("max_pool2d", (4, 32, 2, 2)),
        ("fused_matmul_add", (4, 10)),
    ]
    assert len({layer.name for layer in layers}) == 5
    assert layers[-1].memory == 4 * 4 * 10
    assert all((layer.seconds or 0) > 0 for layer in layers)


def test_another_precision_in_the_file_is_refused(tvm: HostedDigits, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    kinds = [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["half"], to=kinds[1]),
            helper.make_node("Cast", ["half"], ["y"], to=kinds[2]),
        ],
        "halves",
        [helper.make_tensor_value_info("x", kinds[0], ["batch", 2])],
        [helper.make_tensor_value_info("y", kinds[2], ["batch", 2])],
    )
    path = tmp_path / "halves.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    ends: dict[str, Any] = {"inputs": [("x", "float32", (None, 2))], "outputs": ["y"]}
    with pytest.raises(CannotRun, match=r"halves\.onnx: holds float16, float32; the file is not fp32"):
        tvm.load({"model": path}, **ends)
    resolved = tvm.load({"model": path}, precision="framework_default", **ends)
    assert resolved["types"] == "float16, float32"


@pytest.mark.parametrize("changes", [{"device": "cuda"}, {"precision": "fp16"}])
def test_what_tvm_lacks_is_unsupported(tvm: HostedDigits, changes: dict[str, Any]) -> None:
    with pytest.raises(CannotRun):
        tvm.load_digits(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["scores"]}, "no output 'scores'; the model has logits"),
        ({"inputs": []}, "input image is not given"),
    ],
)
def test_names_are_checked_at_load(tvm: HostedDigits, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits\.onnx: {message}"):
        tvm.load_digits(**changes)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 1, 8, 8)), "'image' is float64; the model wants float32"),
        (np.zeros((1, 64), np.float32), r"digits\.onnx: input 'image' is \(1, 64\); the model takes"),
        (np.zeros((1, 1, 8, 9), np.float32), r"digits\.onnx: input 'image' is \(1, 1, 8, 9\); the model takes"),
    ],
    ids=["dtype", "rank", "width"],
)
def test_wrong_inputs_are_refused(tvm: HostedDigits, array: Any, message: str) -> None:
    tvm.load_digits()
    with pytest.raises(PredictorError, match=message):
        tvm.predict_tensors({"image": array}, batch_size=1)


@pytest.mark.parametrize("kept", [0, 100, 20000])
def test_a_corrupt_file_is_named(tvm: HostedDigits, tmp_path: Path, kept: int) -> None:
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(tvm.files["model"].read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"corrupt\.onnx: ") as raised:
        tvm.load_digits(files={"model": corrupt})
    assert "\n" not in str(raised.value)


def test_unloading_frees_the_model(tvm: HostedDigits) -> None:
    tvm.load_digits()
    tvm.predict(np.zeros((2000, 1, 8, 8), np.float32), batch_size=2000)
    assert tvm.host.clear(timeout=TIMEOUT)
