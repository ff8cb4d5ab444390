"""The digits model in a provisioned environment: load it, predict, and run the timed path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.hosts.replies import Layer
from tests.frameworks.digits_reference import Array
from tests.frameworks.hosted import DIGITS, Hosted


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

    def timed(self, images: Any, *, batch_size: int) -> tuple[Array, str]:
        """What the timed path answered for the first batch, and its name."""
        tensor = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if self.layout == "NHWC" else images
        measured = self.measure({"image": tensor}, batch_size=batch_size, seconds=0.05)
        return measured.timed_path.bound["logits"], measured.call_path

    def layers(self, images: Any, *, runs: int = 3) -> Sequence[Layer]:
        return self.profile({"image": images}, runs=runs)
