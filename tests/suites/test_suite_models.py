"""The shipped models do what their suites say, in the embedded framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnxruntime = pytest.importorskip("onnxruntime")

SUITES = Path(__file__).resolve().parents[2] / "model_suites"


def _logits(model: Path, inputs: NDArray[np.float32]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": inputs})[0])


@pytest.fixture(scope="module")
def heldout() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    with np.load(SUITES / "digits" / "digits-heldout.npz", allow_pickle=False) as arrays:
        return (arrays["images"][:, np.newaxis] / 16).astype(np.float32), arrays["labels"]


def test_digits_model_reads_the_heldout_rows(heldout: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    images, labels = heldout
    assert np.mean(_logits(SUITES / "digits" / "digits.onnx", images).argmax(1) == labels) >= 0.975


def test_digits_model_takes_any_batch(heldout: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    """A row's logits do not depend on which rows are beside it."""
    images, _ = heldout
    model = SUITES / "digits" / "digits.onnx"
    np.testing.assert_allclose(_logits(model, images[:1]), _logits(model, images[:7])[:1], atol=1e-5)
