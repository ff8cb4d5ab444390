"""What is OpenVINO's own: it replaces what it cannot give, and must not get away with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import TensorDescription, Unsupported

pytestmark = pytest.mark.frameworks


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("openvino")


@pytest.fixture
def capabilities(subject: Any) -> list[str]:
    openvino = pytest.importorskip("openvino")
    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_is_given_or_refused(
    subject: Any, capabilities: list[str], perceptron: Any, batch: Any, precision: str
) -> None:
    """Where the processor lacks it OpenVINO takes another one without a word."""
    if precision.upper() in capabilities:
        model = subject.load(precision=precision)
        assert model.resolved["precision"] == precision
        difference = np.abs(model.predict({"features": batch(8)})["scores"] - perceptron(batch(8))).max()
        assert 1e-4 < difference < 0.5
    else:
        with pytest.raises(Unsupported, match=f"{precision} was asked for and OpenVINO resolved it to"):
            subject.load(precision=precision)


def test_the_default_precision_is_reported_as_what_it_is(
    subject: Any, batch: Any, perceptron: Any, capabilities: list[str]
) -> None:
    """Which one it is differs from processor to processor: one that has fp16 and bf16 may be given either."""
    model = subject.load(precision="framework_default")
    resolved = model.resolved["precision"]
    assert resolved in {"fp16", "bf16", "fp32"} & {name.lower() for name in capabilities}
    scores = np.array(model.predict({"features": batch(8)})["scores"])
    asked = subject.load(precision=resolved).predict({"features": batch(8)})["scores"]
    np.testing.assert_allclose(scores, asked, rtol=0, atol=1e-6)
    assert (np.abs(scores - perceptron(batch(8))).max() < 1e-4) == (resolved == "fp32")


def test_more_threads_than_there_are_is_refused(subject: Any) -> None:
    threads = 4 * (os.cpu_count() or 1)
    with pytest.raises(Unsupported, match=f"{threads} threads were asked for and OpenVINO takes"):
        subject.load(threads=threads)


@pytest.mark.parametrize("pinning", [True, False])
def test_pinning_is_obeyed(subject: Any, pinning: bool) -> None:
    assert subject.load(options={"cpu_pinning": pinning}).resolved["cpu_pinning"] is pinning


def test_an_intermediate_representation_predicts(subject: Any, perceptron: Any, batch: Any, tmp_path: Path) -> None:
    """The weights lie elsewhere than beside the .xml, as cached files may."""
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(subject.files["model"])
    openvino.save_model(model, tmp_path / "perceptron.xml", compress_to_fp16=False)
    (tmp_path / "elsewhere").mkdir()
    weights = (tmp_path / "perceptron.bin").rename(tmp_path / "elsewhere" / "weights")
    loaded = subject.load(files={"model": str(tmp_path / "perceptron.xml"), "weights": str(weights)})
    np.testing.assert_allclose(
        loaded.predict({"features": batch(3)})["scores"], perceptron(batch(3)), rtol=1e-5, atol=1e-5
    )


DIGITS = Path(__file__).parents[2] / "model_suites" / "digits"


def _load_digits(subject: Any, name: str, **changes: Any) -> Any:
    image = [TensorDescription("image", "float32", [None, 1, 8, 8])]
    return subject.load(files={"model": str(DIGITS / name)}, inputs=image, outputs=["logits"], **changes)


@pytest.mark.parametrize("asked", ["int8", "framework_default"])
def test_a_quantised_file_runs_in_int8(subject: Any, asked: str) -> None:
    model = _load_digits(subject, "digits-int8.onnx", precision=asked)
    assert model.resolved["precision"] == "int8"
    assert model.resolved["executed"] == "3 in u8"
    with np.load(DIGITS / "digits-heldout.npz") as data:
        logits = model.predict({"image": (data["images"].reshape(-1, 1, 8, 8) / 16).astype(np.float32)})["logits"]
        assert (logits.argmax(1) == data["labels"]).mean() > 0.97


def test_a_quantised_file_is_not_fp32(subject: Any) -> None:
    with pytest.raises(Unsupported, match=r"digits-int8\.onnx: .* in int8, not fp32") as caught:
        _load_digits(subject, "digits-int8.onnx", precision="fp32")
    assert caught.value.holds == "int8"


def test_a_file_without_quantised_layers_is_not_int8(subject: Any) -> None:
    with pytest.raises(Unsupported, match=r"digits\.onnx: .* in fp32, not int8") as caught:
        _load_digits(subject, "digits.onnx", precision="int8")
    assert caught.value.holds == "fp32"


def test_16_bit_weights_are_widened_at_fp32(subject: Any) -> None:
    """An intermediate representation stores its weights so by default, whatever it computes in."""
    resolved = _load_digits(subject, "digits-fp16.onnx", precision="fp32").resolved
    assert (resolved["precision"], resolved["executed"]) == ("fp32", "3 in f32")
