"""Write ``digits.prototxt`` and ``digits.caffemodel`` beside the manifest: ``PYTHON exporters/to_caffe.py``.

Run it with the Python of Caffe's framework environment. The same weights give the same bytes.
"""

import hashlib
import os
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy

FOLDER = Path(__file__).resolve().parents[1]

PROTOTXT = """\
name: "digits-cnn"
layer {
  name: "image"
  type: "Input"
  top: "image"
  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "image"
  top: "conv1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "conv2"
  type: "Convolution"
  bottom: "pool1"
  top: "conv2"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1 }
}
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer {
  name: "pool2"
  type: "Pooling"
  bottom: "conv2"
  top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "dense"
  type: "InnerProduct"
  bottom: "pool2"
  top: "logits"
  inner_product_param { num_output: 10 }
}
"""


def main() -> None:
    prototxt, caffemodel = FOLDER / "digits.prototxt", FOLDER / "digits.caffemodel"
    prototxt.write_text(PROTOTXT, "utf-8")
    net = caffe.Net(str(prototxt), caffe.TEST)
    with numpy.load(str(FOLDER / "digits-weights.npz")) as weights:
        for layer in ("conv1", "conv2", "dense"):
            for blob, name in zip(net.params[layer], ("weight", "bias")):
                blob.data[...] = weights[f"{layer}.{name}"]
    net.save(str(caffemodel))
    for path in (prototxt, caffemodel):
        content = path.read_bytes()
        print(f"{path.name}: sha256 {hashlib.sha256(content).hexdigest()}, {len(content)} bytes")


if __name__ == "__main__":
    main()
