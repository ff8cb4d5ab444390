"""Caffe in its provisioned environment: the digits model, and what to refuse before Caffe ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, HostCrashed, PredictorError
from tests.frameworks.digits_reference import Array, reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted, heldout

pytestmark = pytest.mark.frameworks

FILES = {"model": DIGITS / "digits.caffemodel", "prototxt": DIGITS / "digits.prototxt"}
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def caffe() -> Iterator[Hosted]:
    hosted = Hosted("caffe")
    yield hosted
    hosted.host.close()


def load(caffe: Hosted, **changes: Any) -> dict[str, Any]:
    return caffe.load(changes.pop("files", FILES), **{"inputs": [IMAGE], "outputs": ["logits"], **changes})


def predict(caffe: Hosted, images: Any, *, batch_size: int = 1, name: str = "image") -> dict[str, Array]:
    return caffe.predict_tensors({name: images}, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(caffe: Hosted, batch_size: int) -> None:
    load(caffe)
    images, labels = heldout()
    logits = predict(caffe, images, batch_size=batch_size)["logits"]
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_outputs_may_be_any_blob(caffe: Hosted) -> None:
    load(caffe, outputs=["pool2", "logits"])
    outputs = predict(caffe, heldout()[0][:3], batch_size=3)
    assert outputs["pool2"].shape == (3, 32, 2, 2)
    assert outputs["logits"].shape == (3, 10)


def test_the_version_and_the_blas_are_the_frameworks_own(caffe: Hosted) -> None:
    assert caffe.host.version == "1.0.0"
    assert "OpenBLAS" in caffe.host.started.build["blas"]


@pytest.mark.parametrize("precision", ["fp32", "framework_default"])
def test_what_loading_came_to_is_told(caffe: Hosted, precision: str) -> None:
    assert load(caffe, precision=precision) == {"precision": "fp32", "threads": 1, "mode": "CPU"}


def test_two_threads_are_openblass_own() -> None:
    caffe = Hosted("caffe", threads=2)
    try:
        assert load(caffe)["threads"] == 2
    finally:
        caffe.host.close()


def test_every_layer_is_profiled(caffe: Hosted) -> None:
    load(caffe)
    layers = caffe.profile({"image": heldout()[0][:4]}, runs=5)
    assert [layer.name for layer in layers] == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "dense"]
    assert [layer.kind for layer in layers] == [
        *("Convolution", "ReLU", "Pooling", "Convolution", "ReLU", "Pooling", "InnerProduct"),
    ]
    assert layers[0].shape == (4, 16, 8, 8)
    assert layers[0].memory == 4 * 4 * 16 * 8 * 8
    assert layers[-1].shape == (4, 10)
    assert all((layer.seconds or 0) > 0 for layer in layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "GPU"}, "the CPU alone"),
        ({"precision": "fp16"}, "it has no fp16"),
    ],
)
def test_what_caffe_lacks_is_unsupported(caffe: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(caffe, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the net has image"),
        ({"outputs": ["scores"]}, "no output 'scores'; the net has image, conv1, pool1, conv2, pool2, logits"),
        ({"inputs": []}, "input image is not given"),
        ({"inputs": [("image", "float32", (None, 3, 8, 8))]}, "the net takes float32"),
        ({"inputs": [("image", "uint8", (None, 1, 8, 8))]}, "the net takes float32"),
    ],
)
def test_names_and_shapes_are_checked_at_load(caffe: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=message) as raised:
        load(caffe, **changes)
    assert "digits.prototxt" in str(raised.value)


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
def test_wrong_inputs_are_refused_before_caffe_ends_the_process(caffe: Hosted, images: Any) -> None:
    load(caffe)
    with pytest.raises(PredictorError, match="input 'image' is"):
        predict(caffe, images)
    predict(caffe, np.zeros((1, 1, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layer {", "layer [", "not a prototxt of a net"),
        ('type: "Pooling"', 'type: "Pulling"', "this Caffe has no type 'Pulling'"),
        ('type: "ReLU"', 'type: "Python"', "is refused"),
        ('type: "Input"', 'type: "ImageData"', "is refused"),
    ],
)
def test_a_wrong_prototxt_is_named(caffe: Hosted, tmp_path: Path, old: str, new: str, message: str) -> None:
    prototxt = tmp_path / "wrong.prototxt"
    prototxt.write_text(FILES["prototxt"].read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(PredictorError, match=rf"wrong\.prototxt: .*{message}"):
        load(caffe, files={**FILES, "prototxt": prototxt})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_output: 32", "num_output: 33", "weights of layer 'conv2' are"),
        ('"dense"', '"other"', "no weights for layer 'other'"),
    ],
)
def test_weights_that_do_not_fit_are_named(caffe: Hosted, tmp_path: Path, old: str, new: str, message: str) -> None:
    """Caffe itself would end the process for the first, and compute with zeros in the second."""
    prototxt = tmp_path / "other.prototxt"
    prototxt.write_text(FILES["prototxt"].read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(PredictorError, match=rf"digits\.caffemodel: {message}"):
        load(caffe, files={**FILES, "prototxt": prototxt})


def test_a_corrupt_caffemodel_is_named(caffe: Hosted, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.caffemodel"
    corrupt.write_bytes(FILES["model"].read_bytes()[:-100])
    with pytest.raises(PredictorError, match=r"corrupt\.caffemodel: not a caffemodel"):
        load(caffe, files={**FILES, "model": corrupt})


def test_what_only_caffe_finds_ends_the_host_and_is_shown(tmp_path: Path) -> None:
    caffe = Hosted("caffe")
    prototxt = tmp_path / "broken.prototxt"
    text = FILES["prototxt"].read_text("utf-8")
    prototxt.write_text(text.replace('bottom: "pool2"', 'bottom: "missing"'), "utf-8")
    with pytest.raises(HostCrashed) as raised:
        load(caffe, files={**FILES, "prototxt": prototxt})
    assert "Unknown bottom blob 'missing'" in raised.value.output


def test_unloading_frees_the_net(caffe: Hosted) -> None:
    load(caffe)
    predict(caffe, np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert caffe.host.clear(timeout=TIMEOUT)
