"""Make every asset of this suite: ``python model_suites/digits/make_digits.py``.

Trains one small CNN on scikit-learn's digits (rows 0:1347) and writes the same weights in each framework's format, the
held-out rows (1347:1797), and the manifests' sha256 and size entries. Takes about 30 seconds on one core.

Needs, and the committed assets were made with: torch 2.13.0 (CPU), onnx 1.23.2, tensorflow-cpu 2.21.0,
scikit-learn 1.9.1, numpy 2.4.6, onnxruntime 1.31.1, openvino 2026.4.1, opencv-python-headless 4.14.0.94.
Seeds are fixed and one thread is used, so the same versions on the same kind of CPU give the same bytes; other versions
may give other weights, which the accuracy check at the end still holds to the floor.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).resolve().parent
MANIFESTS = sorted(FOLDER.glob("*.mlscope.yml"))
TRAINING_ROWS = 1347
"""The first three quarters. The rows are in order of writer, so the held-out digits come from other hands."""
SEED = 0
EPOCHS = 100
BATCH = 64
ACCURACY_FLOOR = 0.975
EARLIEST_TIME = (1980, 1, 1, 0, 0, 0)

Weights = dict[str, NDArray[np.float32]]
Array = NDArray[Any]


class DigitsCNN(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """Two convolutions, each with a max-pooling, and a linear layer: (batch, 1, 8, 8) to logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dense = nn.Linear(32 * 2 * 2, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = functional.max_pool2d(functional.relu(self.conv1(image)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        return self.dense(torch.flatten(hidden, 1))


def train(images: torch.Tensor, labels: torch.Tensor) -> DigitsCNN:
    """Train on ``images`` (n, 1, 8, 8) in 0…1, each batch shifted by up to one pixel."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = DigitsCNN()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            down, right = torch.randint(0, 3, (2,)).tolist()
            shifted = functional.pad(images[rows], (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]
            loss = functional.cross_entropy(model(shifted), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return model


def write_onnx(weights: Weights, path: Path) -> None:
    """Opset 13 and IR version 8, which onnxruntime, OpenVINO and OpenCV 4 all read; the batch is dynamic."""
    from onnx import TensorProto, checker, helper, numpy_helper

    convolution: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    pooling: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", **convolution),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "pool1", **pooling),
        helper.make_node("Conv", ["p1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", **convolution),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p2"], "pool2", **pooling),
        helper.make_node("Flatten", ["p2"], ["flat"], "flatten", axis=1),
        helper.make_node("Gemm", ["flat", "dense.weight", "dense.bias"], ["logits"], "dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits-cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(
        graph, producer_name="make_digits.py", ir_version=8, opset_imports=[helper.make_opsetid("", 13)]
    )
    checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_pt2(model: DigitsCNN, path: Path) -> None:
    """torch.export with a dynamic batch; source locations are left out, for they hold the maker's paths."""
    batch = torch.export.Dim("batch", min=1, max=65536)
    program = torch.export.export(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes={"image": {0: batch}})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


def write_saved_model(weights: Weights, path: Path) -> None:
    """A zipped SavedModel in TensorFlow's own layout, NHWC: serving_default(image (batch, 8, 8, 1)) to logits."""
    import tensorflow as tf

    class Digits(tf.Module):  # type: ignore[misc]  # tensorflow has no type hints
        def __init__(self) -> None:
            super().__init__()
            # OIHW to HWIO, and the dense weight's rows from (C, H, W) order to (H, W, C).
            self.kernel1 = tf.Variable(weights["conv1.weight"].transpose(2, 3, 1, 0))
            self.bias1 = tf.Variable(weights["conv1.bias"])
            self.kernel2 = tf.Variable(weights["conv2.weight"].transpose(2, 3, 1, 0))
            self.bias2 = tf.Variable(weights["conv2.bias"])
            dense = weights["dense.weight"].reshape(10, 32, 2, 2).transpose(2, 3, 1, 0).reshape(128, 10)
            self.kernel3 = tf.Variable(dense)
            self.bias3 = tf.Variable(weights["dense.bias"])

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])  # type: ignore[untyped-decorator]  # likewise
        def serve(self, image: Any) -> dict[str, Any]:
            hidden = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(image, self.kernel1, 1, "SAME"), self.bias1))
            hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
            hidden = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(hidden, self.kernel2, 1, "SAME"), self.bias2))
            hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
            flat = tf.reshape(hidden, [-1, 128])
            return {"logits": tf.linalg.matmul(flat, self.kernel3) + self.bias3}

    module = Digits()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        # Optional, and random in every build.
        (Path(folder) / "fingerprint.pb").unlink(missing_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for source in sorted(Path(folder).rglob("*")):
                if source.is_file():
                    entry = zipfile.ZipInfo(source.relative_to(folder).as_posix(), EARLIEST_TIME)
                    entry.external_attr = 0o644 << 16
                    archive.writestr(entry, source.read_bytes(), zipfile.ZIP_DEFLATED)


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Without the time of writing, which numpy puts in."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EARLIEST_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED)


def logits_of_each_framework(images: NDArray[np.float32]) -> dict[str, Array]:
    """What each written file answers, shape (n, 10)."""
    import cv2
    import onnxruntime
    import openvino
    import tensorflow as tf

    onnx_path = FOLDER / "digits.onnx"
    session = onnxruntime.InferenceSession(onnx_path, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(onnx_path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    network = cv2.dnn.readNetFromONNX(str(onnx_path))
    network.setInput(images)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(FOLDER / "digits-savedmodel.zip") as archive:
        archive.extractall(folder)
        serve = tf.saved_model.load(folder).signatures["serving_default"]
        tensorflow_logits = serve(image=tf.constant(images.transpose(0, 2, 3, 1)))["logits"].numpy()
    exported = torch.export.load(FOLDER / "digits.pt2").module()
    with torch.inference_mode():
        pytorch_logits = exported(torch.from_numpy(images)).numpy()
    return {
        "onnxruntime": session.run(["logits"], {"image": images})[0],
        "openvino": compiled([images])[compiled.output("logits")],
        "opencv-dnn": network.forward(),
        "tensorflow": tensorflow_logits,
        "pytorch": pytorch_logits,
    }


def update_manifests() -> None:
    """Set ``sha256``, and ``size`` where there is one, after each ``path`` of a file that lies here."""

    def entry(match: re.Match[str]) -> str:
        content = (FOLDER / match["name"]).read_bytes()
        indent = match["indent"]
        lines = [f"path: {match['name']}", f"sha256: {hashlib.sha256(content).hexdigest()}"]
        if match["size"]:
            lines.append(f"size: {len(content)}")
        return "".join(f"{indent}{line}\n" for line in lines)

    pattern = r"(?P<indent> +)path: (?P<name>\S+)\n +sha256: \S+\n(?P<size> +size: \d+\n)?"
    for manifest in MANIFESTS:
        manifest.write_text(re.sub(pattern, entry, manifest.read_text("utf-8")), "utf-8")


def main() -> None:
    digits = load_digits()
    images: NDArray[np.uint8] = digits.images.astype(np.uint8)
    labels: NDArray[np.int64] = digits.target.astype(np.int64)
    scaled = (images.astype(np.float32) / np.float32(16))[:, np.newaxis]
    model = train(torch.from_numpy(scaled[:TRAINING_ROWS]), torch.from_numpy(labels[:TRAINING_ROWS]))
    weights: Weights = {name: value.numpy() for name, value in model.state_dict().items()}

    write_onnx(weights, FOLDER / "digits.onnx")
    write_pt2(model, FOLDER / "digits.pt2")
    write_saved_model(weights, FOLDER / "digits-savedmodel.zip")
    write_npz(FOLDER / "digits-weights.npz", weights)
    write_npz(FOLDER / "digits-heldout.npz", {"images": images[TRAINING_ROWS:], "labels": labels[TRAINING_ROWS:]})

    heldout = scaled[TRAINING_ROWS:]
    with torch.inference_mode():
        reference = model(torch.from_numpy(heldout)).numpy()
    accuracy = float((reference.argmax(1) == labels[TRAINING_ROWS:]).mean())
    print(f"top-1 on {len(heldout)} held-out rows: {accuracy:.4f}")
    if accuracy < ACCURACY_FLOOR:
        raise SystemExit(f"top-1 {accuracy:.4f} is below {ACCURACY_FLOOR}")
    for framework, logits in logits_of_each_framework(heldout).items():
        difference = float(np.abs(logits - reference).max())
        print(f"{framework:12} max difference from the trained model's logits: {difference:.1e}")
        if not difference <= 1e-5:
            raise SystemExit(f"{framework} differs from the trained model by {difference}")
    update_manifests()


if __name__ == "__main__":
    main()
