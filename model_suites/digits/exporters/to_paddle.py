"""Write ``digits-paddle.json`` and ``digits-paddle.pdiparams`` beside the manifest: ``python exporters/to_paddle.py``.

Paddle's inference format: the program and its parameters, from ``image`` (batch, 1, 8, 8) to logits (batch, 10), which
Paddle calls ``fetch_name_0``; the batch is dynamic.

Needs, and the committed files were made with: paddlepaddle 3.3.1, numpy 2.4.6. The same versions give the same bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.nn import functional

FOLDER = Path(__file__).resolve().parents[1]
NAME = "digits-paddle"


class Digits(paddle.nn.Layer):  # type: ignore[misc]  # paddle is not there when types are checked
    """The network with parameters still at random."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(1, 16, 3, padding=1)
        self.conv2 = paddle.nn.Conv2D(16, 32, 3, padding=1)
        self.dense = paddle.nn.Linear(128, 10)

    def forward(self, image: Any) -> Any:
        hidden = functional.max_pool2d(functional.relu(self.conv1(image)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        return self.dense(paddle.flatten(hidden, 1))


def main() -> None:
    network = Digits()
    network.eval()
    with np.load(FOLDER / "digits-weights.npz") as stored:
        for name, parameter in network.named_parameters():
            # A linear layer's weight is (in, out) here.
            parameter.set_value(stored[name].T if name == "dense.weight" else stored[name])
    image = paddle.static.InputSpec([None, 1, 8, 8], "float32", "image")
    paddle.jit.save(network, str(FOLDER / NAME), input_spec=[image])
    for suffix in (".json", ".pdiparams"):
        content = (FOLDER / (NAME + suffix)).read_bytes()
        print(f"path: {NAME}{suffix}\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
