"""ExecuTorch in its provisioned environment: the digits model, its layers, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import CannotRun, PredictorError
from tests.frameworks.digits_reference import Array, reference_logits
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted, heldout

pytestmark = pytest.mark.frameworks

MODEL = DIGITS / "digits.pte"
IMAGE = ("image", "float32", (None, 1, 8, 8))


@pytest.fixture(scope="module")
def executorch() -> Iterator[Hosted]:
    hosted = Hosted("executorch")
    yield hosted
    hosted.host.close()


def load(executorch: Hosted, *, path: Path = MODEL, **changes: Any) -> dict[str, Any]:
    return executorch.load({"model": path}, **{"inputs": [IMAGE], "outputs": ["logits"], **changes})


def predict(executorch: Hosted, images: Any, *, batch_size: int = 1) -> Array:
    return executorch.predict_tensors({"image": images}, batch_size=batch_size)["logits"]


@pytest.mark.parametrize("batch_size", [1, 32, 450])
def test_digits_are_read_as_by_numpy(executorch: Hosted, batch_size: int) -> None:
    load(executorch)
    images, labels = heldout()
    logits = predict(executorch, images, batch_size=batch_size)
    np.testing.assert_allclose(logits, reference_logits(images), rtol=0, atol=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(443 / 450)


def test_a_bound_batch_is_right_after_many_calls(executorch: Hosted) -> None:
    """The memory of inputs is used again within a call, so that they must be copied in at each."""
    load(executorch)
    images, _ = heldout()
    measured = executorch.measure({"image": images[:7]}, batch_size=3)
    logits = measured.timed_path.bound["logits"]
    np.testing.assert_allclose(logits, reference_logits(images[:3]), rtol=0, atol=1e-4)


def test_layers_are_xnnpacks_operators(executorch: Hosted) -> None:
    load(executorch)
    images, _ = heldout()
    layers = executorch.profile({"image": images}, runs=3)
    words = [layer.kind.split(" (")[0] for layer in layers]
    assert [word for word in words if word not in ("Transpose", "Copy")] == [
        *("Convolution", "Max Pooling", "Convolution", "Max Pooling", "Fully Connected")
    ]
    assert sum(layer.seconds or 0 for layer in layers) > 0


@pytest.mark.parametrize("precision", ["fp32", "framework_default"])
def test_what_loading_came_to_is_told(executorch: Hosted, precision: str) -> None:
    told = "fp32" if precision == "fp32" else "as the file states"
    assert load(executorch, precision=precision) == {"precision": told, "threads": 1}


def test_two_threads_are_its_pools_own(executorch: Hosted) -> None:
    executorch.threads = 2
    try:
        assert load(executorch)["threads"] == 2
    finally:
        executorch.threads = 1


@pytest.mark.parametrize(("datatype", "message"), [(2, "tensors of float16"), (14, "bfloat16"), (6, "is quantised")])
def test_what_xnnpack_computes_otherwise_is_not_fp32(
    executorch: Hosted, tmp_path: Path, datatype: int, message: str
) -> None:
    """The types lie in XNNPACK's own graph inside the file, where ExecuTorch's interface does not show them."""
    content = bytearray(MODEL.read_bytes())
    header = content.find(b"XH00") - 4
    graph = header + struct.unpack_from("<I", content, header + 10)[0]

    def table(place: int) -> int:
        return place + int(struct.unpack_from("<I", content, place)[0])

    def field(place: int, index: int) -> int:
        layout = place - int(struct.unpack_from("<i", content, place)[0])
        return place + int(struct.unpack_from("<H", content, layout + 4 + 2 * index)[0])

    values = table(field(table(graph), 2))
    tensor = table(field(table(values + 4), 1))
    struct.pack_into("<h", content, field(tensor, 0), datatype)
    (tmp_path / "other.pte").write_bytes(content)
    with pytest.raises(CannotRun, match=rf"other\.pte: .*{message}.*; the file is not fp32"):
        load(executorch, path=tmp_path / "other.pte")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"device": "cuda"}, "it has no cuda"), ({"precision": "int8"}, "it has no int8")],
)
def test_what_executorch_lacks_is_unsupported(executorch: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        load(executorch, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [IMAGE, ("mask", "float32", (None,))]}, r"2 inputs asked for \(image, mask\); the program has 1"),
        ({"outputs": ["logits", "scores"]}, r"2 outputs asked for \(logits, scores\); the program has 1"),
    ],
)
def test_inputs_and_outputs_are_counted(executorch: Hosted, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictorError, match=rf"digits\.pte: {message}, without names"):
        load(executorch, **changes)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.float64), "input 'image' is float64; the model wants float32"),
        (np.zeros((1, 1, 8, 12), np.float32), r"has shape \[1, 1, 8, 12\]; the program was exported for at most"),
        (np.zeros((1, 1, 8, 7), np.float32), r"digits\.pte: .* with inputs of shape \[1, 1, 8, 7\]"),
        (np.zeros((1, 64), np.float32), r"has shape \[1, 64\]; .* at most \[512, 1, 8, 8\]"),
    ],
    ids=["dtype", "wider", "narrower", "rank"],
)
def test_wrong_inputs_are_refused(executorch: Hosted, images: Any, message: str) -> None:
    load(executorch)
    with pytest.raises(PredictorError, match=message):
        predict(executorch, images)
    assert predict(executorch, np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 10)


def test_a_batch_larger_than_exported_is_refused(executorch: Hosted) -> None:
    load(executorch)
    with pytest.raises(
        PredictorError, match=r"\[513, 1, 8, 8\]; the program was exported for at most \[512, 1, 8, 8\]"
    ):
        predict(executorch, np.zeros((513, 1, 8, 8), np.float32), batch_size=513)


@pytest.mark.parametrize("kept", [0, 7, 20000], ids=["empty", "short", "truncated"])
def test_a_corrupt_file_is_named(executorch: Hosted, tmp_path: Path, kept: int) -> None:
    (tmp_path / "broken.pte").write_bytes(MODEL.read_bytes()[:kept])
    with pytest.raises(PredictorError, match=r"broken\.pte: not a program ExecuTorch can read"):
        load(executorch, path=tmp_path / "broken.pte")


def test_unloading_frees_the_model(executorch: Hosted) -> None:
    for _ in range(5):
        load(executorch)
        predict(executorch, np.zeros((512, 1, 8, 8), np.float32), batch_size=512)
    assert executorch.host.clear(timeout=TIMEOUT)
