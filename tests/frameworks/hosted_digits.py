"""The digits model in a provisioned environment: load it, predict, and run the timed path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.errors import PredictorError
from tests.frameworks.digits_reference import Array
from tests.frameworks.hosted import DIGITS, TIMEOUT, Hosted


class HostedDigits(Hosted):
    """One framework with the digits model; ``layout`` is its file's, the images given are always NCHW."""

    def __init__(self, name: str, file: str, *, layout: str = "NCHW", threads: int = 1) -> None:
        super().__init__(name, threads=threads)
        self.files: dict[str, Path] = {"model": DIGITS / file}
        self.layout = layout
        self.image = ("image", "float32", (None, 1, 8, 8) if layout == "NCHW" else (None, 8, 8, 1))

    def load_digits(self, **changes: Any) -> dict[str, Any]:
        """What loading resolved to; raises what the host raises."""
        files = changes.pop("files", self.files)
        return self.load(files, **{"inputs": [self.image], "outputs": ["logits"], **changes})

    def predict(self, images: Any, *, batch_size: int) -> Array:
        """Images (N, 1, 8, 8) to logits (N, 10)."""
        tensor = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if self.layout == "NHWC" else images
        return self.predict_tensors({"image": tensor}, batch_size=batch_size)["logits"]

    def predict_tensors(self, tensors: Mapping[str, Any], *, batch_size: int) -> dict[str, Array]:
        request = {"operation": "predict", "batch_size": batch_size, "pad": False}
        reply = self.host.request(request, tensors, timeout=TIMEOUT, doing="predicting")
        if reply.get("errors"):
            raise PredictorError(str(reply["errors"]))
        return {name: np.array(array) for name, array in self.host.tensors(reply).items()}

    def timed(self, images: Any, *, batch_size: int) -> tuple[Array, str]:
        """What the timed path answered for the first batch, and its name."""
        tensor = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if self.layout == "NHWC" else images
        request = {
            **{"operation": "measure", "batch_size": batch_size},
            **{"budget": 0.05, "relative_error": 0.5, "warmup_budget": 0.05},
        }
        reply = self.host.request(request, {"image": tensor}, timeout=TIMEOUT, doing="measuring")
        return np.array(self.host.tensors(reply)["bound:logits"]), reply["call_path"]

    def layers(self, images: Any, *, runs: int = 3) -> list[dict[str, Any]]:
        request = {"operation": "layers", "runs": runs}
        reply = self.host.request(request, {"image": images}, timeout=TIMEOUT, doing="profiling")
        layers: list[dict[str, Any]] = reply["layers"]
        return layers
