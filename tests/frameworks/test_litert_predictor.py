"""LiteRT in its provisioned environment: the digits model in fp32 and int8, neither taken for the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, heldout
from tests.frameworks.hosted_digits import HostedDigits

pytestmark = pytest.mark.frameworks

QUANTISED = {"model": DIGITS / "digits-int8.tflite"}


@pytest.fixture(scope="module")
def litert() -> Iterator[HostedDigits]:
    hosted = HostedDigits("litert", "digits.tflite", layout="NHWC")
    yield hosted
    hosted.host.close()


@pytest.mark.parametrize("xnnpack", [True, False])
@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(litert: HostedDigits, batch_size: int, xnnpack: bool) -> None:
    assert litert.load_digits(options={"xnnpack": xnnpack})["xnnpack"] is xnnpack
    images, labels = heldout()
    logits = litert.predict(images, batch_size=batch_size)
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_the_int8_file_reads_nearly_as_well(litert: HostedDigits) -> None:
    resolved = litert.load_digits(files=QUANTISED, precision="int8")
    assert resolved["precision"] == "int8"
    assert "quantised int8" in resolved["types"]
    images, labels = heldout()
    logits = litert.predict(images, batch_size=32)
    assert 1e-3 < np.abs(logits - reference_logits(images)).max() < 0.25
    assert np.mean(logits.argmax(axis=1) == labels) > 0.97


@pytest.mark.parametrize(
    ("file", "precision", "holds"),
    [("digits-int8.tflite", "fp32", "quantised int8; the file is not fp32"), ("digits.tflite", "int8", "float32;")],
)
def test_a_file_is_not_taken_for_another_precision(litert: HostedDigits, file: str, precision: str, holds: str) -> None:
    with pytest.raises(CannotRun, match=rf"{file}: holds .*{holds}"):
        litert.load_digits(files={"model": DIGITS / file}, precision=precision)


@pytest.mark.parametrize(("files", "precision"), [({}, "fp32"), (QUANTISED, "int8")])
def test_the_default_precision_is_the_files(litert: HostedDigits, files: Any, precision: str) -> None:
    changes = {"files": files} if files else {}
    assert litert.load_digits(precision="framework_default", **changes)["precision"] == precision


def test_the_timed_path_survives_batches_of_another_size(litert: HostedDigits) -> None:
    """Batches share one interpreter: the last one of a queue is smaller, and the first one is run again at the end."""
    litert.load_digits()
    images = heldout()[0][:7]
    logits, call_path = litert.timed(images, batch_size=4)
    np.testing.assert_allclose(logits, reference_logits(images[:4]), rtol=0, atol=1e-4)
    assert call_path == "Interpreter.invoke"


@pytest.mark.parametrize("changes", [{"device": "GPU"}, {"precision": "bf16"}])
def test_what_litert_lacks_is_unsupported(litert: HostedDigits, changes: dict[str, Any]) -> None:
    with pytest.raises(CannotRun):
        litert.load_digits(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 8, 8, 1))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["scores"]}, "no output 'scores'; the model has logits"),
        ({"inputs": []}, "input image is not given"),
    ],
)
def test_names_are_checked_at_load(litert: HostedDigits, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits\.tflite: {message}"):
        litert.load_digits(**changes)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"image": np.zeros((1, 8, 8, 1))}, "'image' is float64; the model wants float32"),
        ({"image": np.zeros((1, 64), np.float32)}, r"'image' is \(1, 64\); the model takes \(-1, 8, 8, 1\)"),
        ({"image": np.zeros((1, 1, 8, 8), np.float32)}, r"the model takes \(-1, 8, 8, 1\)"),
    ],
    ids=["dtype", "rank", "layout"],
)
def test_wrong_inputs_are_refused_and_do_no_harm(litert: HostedDigits, tensors: Any, message: str) -> None:
    litert.load_digits()
    with pytest.raises(PredictorError, match=message):
        litert.predict_tensors(tensors, batch_size=1)
    images = heldout()[0][:2]
    np.testing.assert_allclose(litert.predict(images, batch_size=2), reference_logits(images), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 100, 15000])
def test_a_corrupt_file_is_named(litert: HostedDigits, tmp_path: Path, kept: int) -> None:
    corrupt = tmp_path / "corrupt.tflite"
    corrupt.write_bytes(litert.files["model"].read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"corrupt\.tflite: ") as raised:
        litert.load_digits(files={"model": corrupt})
    assert "\n" not in str(raised.value)


def test_two_threads_are_taken() -> None:
    litert = HostedDigits("litert", "digits.tflite", layout="NHWC", threads=2)
    try:
        assert litert.load_digits()["threads"] == 2
        images = heldout()[0]
        logits = litert.predict(images, batch_size=450)
        np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    finally:
        litert.host.close()


def test_unloading_frees_the_model(litert: HostedDigits) -> None:
    litert.load_digits()
    litert.predict(np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert litert.host.clear(timeout=TIMEOUT)
