"""Write ``digits.jax`` beside the manifest: ``python exporters/to_jax.py``.

A program serialised by ``jax.export``, with the weights inside, for CPUs and NVIDIA GPUs: ``image`` (batch, 1, 8, 8) to
``logits`` (batch, 10), with a symbolic batch. Products are at the highest precision, for the default on GPUs is
TensorFloat-32.

Needs, and the committed file was made with: jax 0.10.2, jaxlib 0.10.2, flatbuffers 25.12.19, numpy 2.4.6.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jax
import jax.export
import numpy as np
from jax import lax
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[1]
PLATFORMS = ("cpu", "cuda")

Weights = dict[str, NDArray[np.float32]]


def _convolved(images: jax.Array, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> jax.Array:
    layouts = ("NCHW", "OIHW", "NCHW")
    return lax.conv_general_dilated(images, weight, (1, 1), "SAME", dimension_numbers=layouts) + bias[:, None, None]


def _pooled(images: jax.Array) -> jax.Array:
    """The largest of each 2×2."""
    return lax.reduce_window(images, -np.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def logits(weights: Weights, image: jax.Array) -> jax.Array:
    """(batch, 1, 8, 8) in 0…1 to (batch, 10)."""
    hidden = image
    for layer in ("conv1", "conv2"):
        hidden = _convolved(hidden, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        hidden = _pooled(jax.nn.relu(hidden))
    return hidden.reshape(hidden.shape[0], -1) @ weights["dense.weight"].T + weights["dense.bias"]


def main() -> None:
    with np.load(FOLDER / "digits-weights.npz") as stored:
        weights: Weights = dict(stored)

    def digits(*, image: jax.Array) -> dict[str, jax.Array]:
        return {"logits": logits(weights, image)}

    # Source locations hold the maker's paths.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    (batch,) = jax.export.symbolic_shape("batch")
    with jax.default_matmul_precision("highest"):
        exported = jax.export.export(jax.jit(digits), platforms=PLATFORMS)(
            image=jax.ShapeDtypeStruct((batch, 1, 8, 8), np.float32)
        )
    content = bytes(exported.serialize())
    (FOLDER / "digits.jax").write_bytes(content)
    print(f"path: digits.jax\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
