"""Make every asset of this suite: ``python model_suites/preprocessing/make_preprocessing.py``.

Renders scikit-learn's digits as photographs of 64×64, keeps those of the held-out rows (1347:1797) as an image folder,
trains one small CNN on the others (0:1347), prepared by the recipe the manifest's inputs state, and prints what every
recipe in the manifest comes to. Takes about a minute on one core.

Needs pytest-mlscope[images], whose own steps prepare the images, and the committed assets were made with:
torch 2.13.0 (CPU), onnx 1.23.2, scikit-learn 1.9.1, numpy 2.4.6, pillow 13.0.0, opencv-python-headless 4.14.0.94.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from pytest_mlscope.components.preprocessing import SHIPPED_PREPROCESSING_STEPS
from pytest_mlscope.components.preprocessing.base import PreprocessingStep

FOLDER = Path(__file__).resolve().parent
MANIFEST = FOLDER / "digits-jpeg.mlscope.yml"
MODEL = FOLDER / "digits-jpeg.onnx"
IMAGES = FOLDER / "images"
CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAINING_ROWS = 1347
RENDERINGS = 8
"""Photographs made of each training row."""
SIDE = 64
JPEG_QUALITY = 70
SEED = 0
EPOCHS = 20
BATCH = 64
ACCURACY_FLOOR = 0.975


def photograph(digit: NDArray[np.float64], random: np.random.RandomState) -> bytes:
    """A JPEG of a digit (8, 8) in 0…16: cool ink on warm, woven paper, lit from one side, with sensor noise."""
    size = random.randint(48, 57)
    left, top = random.randint(0, SIDE - size + 1, 2)
    ink = np.zeros((SIDE, SIDE))
    enlarged = Image.fromarray((digit / 16).astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    ink[top : top + size, left : left + size] = np.clip(np.asarray(enlarged), 0, 1)

    paper_color = random.uniform((170, 130, 80), (240, 200, 150))
    ink_color = random.uniform((60, 80, 120), (140, 160, 210))
    scene = paper_color + ink[..., np.newaxis] * (ink_color - paper_color)

    down, across = np.mgrid[:SIDE, :SIDE]
    # Threads a little wider than two pixels: too fine for 28 pixels, so that only antialiasing removes them.
    pitch = random.uniform(2.1, 2.6)
    phase_down, phase_across = random.uniform(0, 2 * np.pi, 2)
    weave = np.sin(2 * np.pi * down / pitch + phase_down) + np.sin(2 * np.pi * across / pitch + phase_across)
    angle = random.uniform(0, 2 * np.pi)
    light = 1 + 0.2 * (np.cos(angle) * (down / SIDE - 0.5) + np.sin(angle) * (across / SIDE - 0.5))
    scene = (scene + 32 * weave[..., np.newaxis]) * light[..., np.newaxis] + random.normal(0, 5, scene.shape)

    buffer = io.BytesIO()
    Image.fromarray(np.clip(scene.round(), 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def recipes() -> dict[str, list[PreprocessingStep]]:
    """The manifest's recipes by name, the stated one first."""
    kinds = {kind.name: kind for kind in SHIPPED_PREPROCESSING_STEPS}

    def steps(entries: list[dict[str, Any]]) -> list[PreprocessingStep]:
        return [kinds[entry["step"]](**{key: entry[key] for key in entry if key != "step"}) for entry in entries]

    manifest = yaml.safe_load(MANIFEST.read_text("utf-8"))
    stated = {"stated": steps(manifest["inputs"][0]["preprocess"])}
    return stated | {name: steps(inputs["image"]) for name, inputs in manifest["preprocessing_variants"].items()}


def prepare(photographs: list[bytes], recipe: list[PreprocessingStep]) -> torch.Tensor:
    """Photographs as the network takes them: (n, 3, 28, 28) float32."""
    prepared = []
    for sample in photographs:
        tensor: Any = sample
        for step in recipe:
            tensor = step.apply(tensor)
        prepared.append(tensor)
    return torch.from_numpy(np.stack(prepared))


class DigitsJpegCNN(nn.Sequential):  # type: ignore[misc]  # torch is not there when types are checked
    """Three convolutions, each with a max-pooling, and a linear layer: (batch, 3, 28, 28) to logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 3 * 3, 10)),
        )


def train(images: torch.Tensor, labels: torch.Tensor) -> DigitsJpegCNN:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = DigitsJpegCNN()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            loss = functional.cross_entropy(model(images[rows]), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return model


def write_onnx(model: DigitsJpegCNN) -> None:
    """Opset 13 and IR version 8, which onnxruntime, OpenVINO and OpenCV 4 all read; the batch is dynamic."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights, tensor = [], [], "image"
    layers = list(model)
    for number, layer in enumerate(layers):
        output = "logits" if layer is layers[-1] else f"{type(layer).__name__.lower()}{number}"
        inputs = [tensor]
        attributes: dict[str, Any] = {}
        if isinstance(layer, nn.Conv2d | nn.Linear):
            for part in ("weight", "bias"):
                inputs.append(f"{number}.{part}")
                weights.append(numpy_helper.from_array(getattr(layer, part).detach().numpy(), inputs[-1]))
        match layer:
            case nn.Conv2d():
                kind, attributes = "Conv", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
            case nn.MaxPool2d():
                kind, attributes = "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}
            case nn.Linear():
                kind, attributes = "Gemm", {"transB": 1}
            case _:
                kind = {"ReLU": "Relu", "Flatten": "Flatten"}[type(layer).__name__]
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        tensor = output
    graph = helper.make_graph(
        nodes,
        "digits-jpeg",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    proto = helper.make_model(
        graph, producer_name="make_preprocessing.py", ir_version=8, opset_imports=[helper.make_opsetid("", 13)]
    )
    checker.check_model(proto, full_check=True)
    MODEL.write_bytes(proto.SerializeToString(deterministic=True))


def update_manifest() -> None:
    content = MODEL.read_bytes()
    text = MANIFEST.read_text("utf-8")
    text = re.sub(r"(?<=sha256: )\S+", hashlib.sha256(content).hexdigest(), text)
    text = re.sub(r"(?<=size: )\d+", str(len(content)), text)
    MANIFEST.write_text(text, "utf-8")


def main() -> None:
    digits = load_digits()
    by_recipe = recipes()
    labels = torch.from_numpy(digits.target.astype(np.int64))

    random = np.random.RandomState(SEED)
    training = [photograph(digit, random) for digit in digits.images[:TRAINING_ROWS] for _ in range(RENDERINGS)]
    heldout = [photograph(digit, random) for digit in digits.images[TRAINING_ROWS:]]
    shutil.rmtree(IMAGES, ignore_errors=True)
    for row, content in enumerate(heldout, start=TRAINING_ROWS):
        path = IMAGES / CLASS_NAMES[digits.target[row]] / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    images = prepare(training, by_recipe["stated"])
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    print(f"prepared training images by channel: mean {mean.numpy().round(3)}, std {std.numpy().round(3)}")
    model = train(images, labels[:TRAINING_ROWS].repeat_interleave(RENDERINGS))
    write_onnx(model)
    update_manifest()

    import onnxruntime

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    stated = prepare(heldout, by_recipe["stated"]).numpy()
    for name, recipe in by_recipe.items():
        prepared = prepare(heldout, recipe).numpy()
        (logits,) = session.run(["logits"], {"image": prepared})
        accuracy = float((logits.argmax(1) == digits.target[TRAINING_ROWS:]).mean())
        shift = np.abs(prepared - stated)
        print(f"{name:20} top-1 {accuracy:.4f}  input moved: mean {shift.mean():.4f}, max {shift.max():.4f}")
        if name == "stated" and accuracy < ACCURACY_FLOOR:
            raise SystemExit(f"top-1 {accuracy:.4f} is below {ACCURACY_FLOOR}")


if __name__ == "__main__":
    main()
