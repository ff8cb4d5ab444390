"""What the digits model's weights answer, by NumPy alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.frameworks.hosted import DIGITS

Array = npt.NDArray[np.float32]


def _convolved(images: Array, weight: Array, bias: Array) -> Array:
    """3×3 with one pixel of zeros around: (N, C, H, W) and OIHW to (N, O, H, W)."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    convolved: Array = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]
    return convolved


def _pooled(images: Array) -> Array:
    """The largest of each 2×2."""
    n, channels, height, width = images.shape
    pooled: Array = images.reshape(n, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return pooled


def reference_logits(images: Array) -> Array:
    """(N, 1, 8, 8) in 0…1 to logits (N, 10)."""
    with np.load(DIGITS / "digits-weights.npz") as weights:
        hidden = images
        for layer in ("conv1", "conv2"):
            hidden = _convolved(hidden, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            hidden = _pooled(np.maximum(hidden, 0))
        logits: Array = hidden.reshape(len(images), -1) @ weights["dense.weight"].T + weights["dense.bias"]
    return logits
