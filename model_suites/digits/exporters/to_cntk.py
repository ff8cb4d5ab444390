"""Write ``digits.model`` beside the manifest, in CNTK's V2 format: ``PYTHON exporters/to_cntk.py``.

Run it with the Python of CNTK's framework environment.
"""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy

with warnings.catch_warnings():
    # It warns of every machine that is not Ubuntu 16.04 with an NVIDIA GPU.
    warnings.simplefilter("ignore")
    import cntk

FOLDER = Path(__file__).resolve().parents[1]


def main() -> None:
    with numpy.load(str(FOLDER / "digits-weights.npz")) as arrays:
        weights = {name: arrays[name] for name in arrays.files}

    def constant(name: str, *shape: int) -> Any:
        return cntk.constant(weights[name].reshape(shape), name=name)

    image = cntk.input_variable((1, 8, 8), name="image")
    hidden = image
    for layer, filters, channels in (("conv1", 16, 1), ("conv2", 32, 16)):
        kernel = constant(layer + ".weight", filters, channels, 3, 3)
        # One pixel of zeros around the image, none along the channels.
        hidden = cntk.convolution(kernel, hidden, auto_padding=[False, True, True], name=layer)
        hidden = cntk.relu(hidden + constant(layer + ".bias", filters, 1, 1))
        hidden = cntk.pooling(hidden, cntk.MAX_POOLING, (2, 2), (2, 2))
    # Flattened in CNTK as in the other formats: (channels, rows, columns), the last the fastest.
    flat = cntk.reshape(hidden, (128,))
    kernel = cntk.constant(numpy.ascontiguousarray(weights["dense.weight"].T), name="dense.weight")
    logits = cntk.plus(cntk.times(flat, kernel), constant("dense.bias", 10), name="logits")

    path = FOLDER / "digits.model"
    logits.save(str(path), format=cntk.ModelFormat.CNTKv2)
    content = path.read_bytes()
    print(f"{path.name}: sha256 {hashlib.sha256(content).hexdigest()}, {len(content)} bytes")


if __name__ == "__main__":
    main()
