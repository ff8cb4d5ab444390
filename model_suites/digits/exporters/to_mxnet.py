"""Write ``digits-symbol.json`` and ``digits.params`` beside the manifest: ``PYTHON exporters/to_mxnet.py``.

Run it with the Python of MXNet's framework environment. The same weights give the same bytes.
"""

import hashlib
from pathlib import Path
from typing import Any

import mxnet
import numpy

FOLDER = Path(__file__).resolve().parents[1]


def convolution(data: Any, channels: int, index: int) -> Any:
    """A 3x3 convolution, rectified and pooled."""
    data = mxnet.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=channels, name=f"conv{index}")
    data = mxnet.sym.Activation(data, act_type="relu", name=f"relu{index}")
    return mxnet.sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"pool{index}")


def main() -> None:
    symbol, params = FOLDER / "digits-symbol.json", FOLDER / "digits.params"
    data = convolution(convolution(mxnet.sym.Variable("image"), 16, 1), 32, 2)
    mxnet.sym.FullyConnected(data, num_hidden=10, name="dense").save(str(symbol))
    with numpy.load(str(FOLDER / "digits-weights.npz")) as weights:
        values = {"arg:" + name.replace(".", "_"): mxnet.nd.array(weights[name]) for name in weights.files}
    mxnet.nd.save(str(params), values)
    for path in (symbol, params):
        content = path.read_bytes()
        print(f"path: {path.name}\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
