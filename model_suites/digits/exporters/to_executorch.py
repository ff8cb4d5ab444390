"""Write ``digits.pte`` beside the manifest: ``python exporters/to_executorch.py``.

An ExecuTorch program, lowered to XNNPACK, from image (batch, 1, 8, 8) to logits (batch, 10), neither of which has a
name in the file. The batch is dynamic, up to 512: ExecuTorch plans memory for the largest.

Needs, and the committed file was made with: executorch 1.5.1, torch 2.13.0 (CPU), numpy 2.4.6. The same versions give
the same bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).resolve().parents[1]
LARGEST_BATCH = 512
# Traced with fewer than 16 rows, a convolution ties the batch to fewer than 16.
TRACED_BATCH = 32


class Digits(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """The network with parameters still at random."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dense = nn.Linear(128, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = functional.max_pool2d(functional.relu(self.conv1(image)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        return self.dense(torch.flatten(hidden, 1))


def main() -> None:
    network = Digits().eval()
    with np.load(FOLDER / "digits-weights.npz") as stored:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in stored.items()})
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    exported = torch.export.export(network, (torch.zeros(TRACED_BATCH, 1, 8, 8),), dynamic_shapes={"image": {0: batch}})
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    content = bytes(program.buffer)
    (FOLDER / "digits.pte").write_bytes(content)
    print(f"path: digits.pte\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
