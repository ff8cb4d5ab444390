"""CNTK in its provisioned environment: the digits model as a V2 file and as ONNX, and what must be refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from pytest_mlscope.hosts.replies import Layer
from tests.frameworks.digits_reference import Array, reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted, heldout

pytestmark = pytest.mark.frameworks

V2, ONNX = DIGITS / "digits.model", DIGITS / "digits.onnx"
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def cntk() -> Iterator[Hosted]:
    hosted = Hosted("cntk")
    yield hosted
    hosted.host.close()


def load(cntk: Hosted, model: Path = V2, **changes: Any) -> dict[str, Any]:
    return cntk.load({"model": model}, **{"inputs": [IMAGE], "outputs": ["logits"], **changes})


def predict(cntk: Hosted, images: Any, *, batch_size: int = 1) -> Array:
    return cntk.predict_tensors({"image": images}, batch_size=batch_size)["logits"]


def profile(cntk: Hosted, images: Array, *, runs: int) -> Sequence[Layer]:
    return cntk.profile({"image": images}, runs=runs)


@pytest.mark.parametrize("model", [V2, ONNX], ids=["v2", "onnx"])
@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(cntk: Hosted, model: Path, batch_size: int) -> None:
    load(cntk, model)
    images, labels = heldout()
    logits = predict(cntk, images, batch_size=batch_size)
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_the_version_and_the_build_are_the_frameworks_own(cntk: Hosted) -> None:
    assert cntk.host.version == "2.7"
    assert cntk.host.started.build["math lib"] == "mkl"
    assert cntk.host.started.build["build target"] == "CPU-only"


@pytest.mark.parametrize("precision", ["fp32", "framework_default"])
def test_what_loading_came_to_is_told(cntk: Hosted, precision: str) -> None:
    assert load(cntk, precision=precision) == {"precision": "fp32", "threads": 1, "device": "CPU"}


def test_two_threads_are_read_back() -> None:
    cntk = Hosted("cntk", threads=2)
    try:
        assert load(cntk)["threads"] == 2
    finally:
        cntk.host.close()


def test_every_layer_of_a_v2_model_is_profiled(cntk: Hosted) -> None:
    load(cntk)
    layers = profile(cntk, heldout()[0][:32], runs=5)
    assert [layer.kind for layer in layers] == [
        *("Convolution", "Plus", "ReLU", "Pooling", "Convolution", "Plus", "ReLU", "Pooling"),
        *("Reshape", "Times", "Plus"),
    ]
    assert layers[0].name == "conv1"
    assert layers[0].shape == (32, 16, 8, 8)
    assert layers[0].memory == 4 * 32 * 16 * 8 * 8
    assert (layers[0].seconds or 0) > 0
    assert layers[-1].name == "logits"
    assert layers[-1].shape == (32, 10)


def test_what_an_onnx_operator_was_made_of_bears_its_name(cntk: Hosted) -> None:
    load(cntk, ONNX)
    layers = profile(cntk, heldout()[0][:32], runs=5)
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    assert [layer.name.split("/")[0] for layer in convolutions] == ["conv1", "conv2"]
    assert convolutions[1].shape == (32, 32, 4, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "GPU"}, "the CPU alone"),
        ({"precision": "fp16"}, "it has no fp16"),
        ({"model": ONNX, "outputs": ["logits", "scores"]}, "from ONNX, CNTK takes one"),
    ],
)
def test_what_cntk_lacks_is_unsupported(cntk: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(cntk, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["scores"]}, "no output 'scores'; the model has logits"),
        ({"inputs": []}, "input image is not given"),
        ({"inputs": [("image", "float32", (None, 3, 8, 8))]}, "the model takes float32"),
        ({"inputs": [("image", "uint8", (None, 1, 8, 8))]}, "the model takes float32"),
    ],
)
def test_names_and_shapes_are_checked_at_load(cntk: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits\.model: .*{message}"):
        load(cntk, **changes)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 1, 8, 8), np.float64),
        np.zeros((1, 1, 8, 9), np.float32),
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((1, 64), np.float32),
    ],
    ids=["dtype", "width", "channels", "rank"],
)
@pytest.mark.parametrize("model", [V2, ONNX], ids=["v2", "onnx"])
def test_wrong_inputs_are_refused(cntk: Hosted, model: Path, images: Any) -> None:
    load(cntk, model)
    with pytest.raises(PredictorError, match="input 'image' is"):
        predict(cntk, images)


@pytest.mark.parametrize(("name", "content"), [("empty.model", b""), ("cut.model", None), ("text.onnx", b"no graph")])
def test_a_corrupt_file_is_named_in_one_line(cntk: Hosted, tmp_path: Path, name: str, content: bytes | None) -> None:
    corrupt = tmp_path / name
    corrupt.write_bytes(V2.read_bytes()[:-3000] if content is None else content)
    with pytest.raises(PredictorError) as raised:
        load(cntk, corrupt)
    assert f"{name}: " in str(raised.value)
    assert "CALL STACK" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_user_defined_functions_are_refused(cntk: Hosted, tmp_path: Path) -> None:
    """CNTK would execute what such a file names as module and class."""
    file = tmp_path / "code.model"
    file.write_bytes(V2.read_bytes().replace(b"CompositeFunction", b"UserDefinedFunction"))
    with pytest.raises(PredictorError, match=r"code\.model: refused"):
        load(cntk, file)


def test_unloading_frees_the_model(cntk: Hosted) -> None:
    load(cntk)
    predict(cntk, np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert cntk.host.clear(timeout=TIMEOUT)
