"""Write ``digits-predict_net.pb`` and ``digits-init_net.pb`` beside the manifest: ``PYTHON exporters/to_caffe2.py``.

Run it with the Python of Caffe2's framework environment. The same weights give the same bytes.
"""

import hashlib
from pathlib import Path

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core, utils

FOLDER = Path(__file__).resolve().parents[1]


def predict_net(weights: "list[str]") -> caffe2_pb2.NetDef:
    net = caffe2_pb2.NetDef(name="digits-cnn", type="simple")
    for index, source in ((1, "image"), (2, "pool1")):
        conv, relu, pool = (f"{name}{index}" for name in ("conv", "relu", "pool"))
        net.op.extend(
            [
                core.CreateOperator("Conv", [source, conv + ".weight", conv + ".bias"], [conv], kernel=3, pad=1),
                core.CreateOperator("Relu", [conv], [relu]),
                core.CreateOperator("MaxPool", [relu], [pool], kernel=2, stride=2),
            ]
        )
    # FC takes its weight as (outputs, inputs) and flattens what comes in from axis 1 on.
    net.op.extend([core.CreateOperator("FC", ["pool2", "dense.weight", "dense.bias"], ["logits"])])
    net.external_input.extend(["image", *weights])
    net.external_output.extend(["logits"])
    return net


def init_net(weights: "dict[str, numpy.ndarray]") -> caffe2_pb2.NetDef:
    net = caffe2_pb2.NetDef(name="digits-cnn-init", type="simple")
    for name, value in weights.items():
        operator = net.op.add(type="GivenTensorFill", output=[name])
        operator.arg.extend([utils.MakeArgument("shape", value.shape), utils.MakeArgument("values", value)])
        net.external_output.append(name)
    return net


def main() -> None:
    with numpy.load(str(FOLDER / "digits-weights.npz")) as stored:
        weights = {name: stored[name] for name in stored.files}
    nets = {"digits-predict_net.pb": predict_net(list(weights)), "digits-init_net.pb": init_net(weights)}
    for name, net in nets.items():
        content = net.SerializeToString(deterministic=True)
        (FOLDER / name).write_bytes(content)
        print(f"path: {name}\nsha256: {hashlib.sha256(content).hexdigest()}\nsize: {len(content)}")


if __name__ == "__main__":
    main()
