"""Paddle in its provisioned environment: the digits model, its layers, and what is refused."""

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

FILES = {"model": DIGITS / "digits-paddle.json", "params": DIGITS / "digits-paddle.pdiparams"}
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def paddle() -> Iterator[Hosted]:
    hosted = Hosted("paddle")
    yield hosted
    hosted.host.close()


def load(paddle: Hosted, **changes: Any) -> dict[str, Any]:
    return paddle.load(changes.pop("files", FILES), **{"inputs": [IMAGE], "outputs": ["fetch_name_0"], **changes})


def predict(paddle: Hosted, images: Any, *, batch_size: int = 1) -> Array:
    return paddle.predict_tensors({"image": images}, batch_size=batch_size)["fetch_name_0"]


def changed_program(folder: Path, old: str, new: str) -> dict[str, Path]:
    content = FILES["model"].read_text("utf-8")
    assert old in content
    (folder / "changed.json").write_text(content.replace(old, new), "utf-8")
    return {**FILES, "model": folder / "changed.json"}


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(paddle: Hosted, batch_size: int) -> None:
    load(paddle)
    images, labels = heldout()
    logits = predict(paddle, images, batch_size=batch_size)
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


@pytest.mark.parametrize("options", [{"onednn": False}, {"graph_optimization": False}])
def test_options_are_obeyed_and_told(paddle: Hosted, options: dict[str, bool]) -> None:
    defaults = {"precision": "fp32", "threads": 1, "onednn": True, "graph_optimization": True}
    assert load(paddle, options=options) == {**defaults, **options}
    images, _ = heldout()
    np.testing.assert_allclose(
        predict(paddle, images[:9], batch_size=4), reference_logits(images[:9]), rtol=0, atol=1e-4
    )


def test_a_bound_batch_is_measured_on_a_predictor_of_its_own(paddle: Hosted) -> None:
    load(paddle)
    images, _ = heldout()
    measured = paddle.measure({"image": images[:7]}, batch_size=3)
    logits = measured.timed_path.bound["fetch_name_0"]
    np.testing.assert_allclose(logits, reference_logits(images[:3]), rtol=0, atol=1e-4)
    assert measured.call_path == "Predictor.run"


def test_bf16_is_given_or_refused(paddle: Hosted) -> None:
    if paddle.host.started.build["bfloat16"] == "True":
        assert load(paddle, precision="bf16")["precision"] == "bf16"
        images, _ = heldout()
        difference = np.abs(predict(paddle, images, batch_size=32) - reference_logits(images)).max()
        assert 1e-4 < difference < 0.2
    else:
        with pytest.raises(CannotRun, match="bf16 on processors with AVX-512 alone"):
            load(paddle, precision="bf16")
    with pytest.raises(CannotRun, match="option onednn is false"):
        load(paddle, precision="bf16", options={"onednn": False})


def test_layers_are_paddles_operators(paddle: Hosted) -> None:
    load(paddle, options={"onednn": False})
    images, _ = heldout()
    layers = paddle.profile({"image": images[:4]}, runs=3)
    names = [layer.name for layer in layers]
    assert [name for name in names if name.startswith("conv2d")] == ["conv2d_1", "conv2d_2"]
    assert [name for name in names if name.startswith("pool2d")] == ["pool2d_1", "pool2d_2"]
    assert names.index("conv2d_1") < names.index("pool2d_1") < names.index("conv2d_2")
    assert all((layer.seconds or 0) > 0 for layer in layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "gpu"}, "no device gpu"),
        ({"precision": "int8"}, "Paddle has no int8"),
    ],
)
def test_what_paddle_lacks_is_unsupported(paddle: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(paddle, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("picture", "float32", (None, 1, 8, 8))]}, "no input 'picture'; the model has image"),
        ({"outputs": ["logits"]}, "no output 'logits'; the model has fetch_name_0"),
        ({"inputs": []}, "input image is not given"),
    ],
)
def test_names_are_checked_at_load(paddle: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits-paddle\.json: {message}"):
        load(paddle, **changes)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.float64), "input 'image' is float64; the model wants float32"),
        (np.zeros((1, 1, 8, 12), np.float32), r"digits-paddle\.json: .*expected to be the same"),
        (np.zeros((1, 64), np.float32), r"digits-paddle\.json: .*4-D"),
    ],
    ids=["dtype", "width", "rank"],
)
def test_wrong_inputs_are_refused(paddle: Hosted, images: Any, message: str) -> None:
    load(paddle)
    with pytest.raises(PredictorError, match=message):
        predict(paddle, images)
    assert predict(paddle, np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 10)


@pytest.mark.parametrize("operator", ["save_combine", "load_combine", "read_file", "partial_send"])
def test_a_program_that_reaches_beyond_the_model_is_refused(paddle: Hosted, tmp_path: Path, operator: str) -> None:
    """Escapes of JSON do not hide it."""
    escaped = json.dumps(f"1.{operator}").replace("a", r"\u0061")
    files = changed_program(tmp_path, '"1.relu"', escaped)
    with pytest.raises(PredictorError, match=rf"changed\.json: has the operator {operator}, which reaches beyond"):
        load(paddle, files=files)


def test_16_bit_tensors_are_not_fp32(paddle: Hosted, tmp_path: Path) -> None:
    files = changed_program(tmp_path, '"0.t_f32"', '"0.t_f16"')
    with pytest.raises(CannotRun, match=r"changed\.json: has tensors of t_f16; the file is not fp32"):
        load(paddle, files=files)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", b"[]"], ids=["empty", "garbage", "bytes", "list"])
def test_a_corrupt_program_is_named(paddle: Hosted, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(PredictorError, match=r"broken\.json: no program of Paddle 3"):
        load(paddle, files={**FILES, "model": tmp_path / "broken.json"})


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_corrupt_parameters_are_named(paddle: Hosted, tmp_path: Path, kept: int) -> None:
    """Of a file that is a little short Paddle makes weights of what lies behind it in memory."""
    (tmp_path / "broken.pdiparams").write_bytes(FILES["params"].read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"broken\.pdiparams: not the whole parameters"):
        load(paddle, files={**FILES, "params": tmp_path / "broken.pdiparams"})


def test_two_threads_are_read_back() -> None:
    hosted = Hosted("paddle", threads=2)
    try:
        assert load(hosted)["threads"] == 2
    finally:
        hosted.host.close()


def test_unloading_frees_the_model(paddle: Hosted) -> None:
    load(paddle)
    predict(paddle, np.zeros((20000, 1, 8, 8), np.float32), batch_size=20000)
    assert paddle.host.clear(timeout=TIMEOUT)
