"""Random weights for graphs that come without."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_mlscope.artifacts.random_onnx_weights import build
from pytest_mlscope.errors import ArtifactError, CannotRun

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SQUEEZENET = LIGHT / "light_squeezenet.onnx"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "squeezenet.onnx"
    build(SQUEEZENET, path, seed=0)
    return path


def _outputs(path: Path, count: int) -> NDArray[Any]:
    """Outputs of ``count`` random inputs, shape (count, classes)."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    random = np.random.RandomState(1)
    inputs = [random.standard_normal(image.shape).astype(np.float32) for _ in range(count)]
    return np.stack([session.run(None, {image.name: each})[0].ravel() for each in inputs])


def test_same_seed_gives_the_same_bytes(squeezenet: Path, tmp_path: Path) -> None:
    build(SQUEEZENET, tmp_path / "again.onnx", seed=0)
    assert _sha256(tmp_path / "again.onnx") == _sha256(squeezenet)


def test_weights_are_the_same_on_every_machine(squeezenet: Path) -> None:
    """The digest is of the weights, not of the file: protobuf may order bytes otherwise in another release."""
    digest = hashlib.sha256()
    for tensor in sorted(onnx.load(squeezenet).graph.initializer, key=lambda each: str(each.name)):
        digest.update(tensor.name.encode())
        digest.update(onnx.numpy_helper.to_array(tensor).tobytes())
    assert digest.hexdigest() == "790120c15c9f9b40b6f258475c745a3f46c307de55d05ee2fde74709875f2f36"


def test_another_seed_gives_other_weights(squeezenet: Path, tmp_path: Path) -> None:
    build(SQUEEZENET, tmp_path / "other.onnx", seed=1)
    assert _sha256(tmp_path / "other.onnx") != _sha256(squeezenet)


def test_the_result_is_a_valid_model(squeezenet: Path) -> None:
    onnx.checker.check_model(str(squeezenet), full_check=True)


def test_only_weights_change(squeezenet: Path) -> None:
    light, built = onnx.load(SQUEEZENET), onnx.load(squeezenet)
    kept = [node for node in light.graph.node if node.op_type != "ConstantOfShape"]
    assert [node.SerializeToString() for node in built.graph.node] == [node.SerializeToString() for node in kept]
    assert list(built.graph.output) == list(light.graph.output)
    assert (built.ir_version, list(built.opset_import)) == (light.ir_version, list(light.opset_import))


def test_weights_are_inputs_too_in_old_files(squeezenet: Path) -> None:
    """Before IR version 4 they had to be; importers of that time take a weight that is none for unknown."""
    built = onnx.load(squeezenet)
    assert built.ir_version == 3
    assert {tensor.name for tensor in built.graph.initializer} <= {value.name for value in built.graph.input}


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_outputs_depend_on_the_input(name: str, tmp_path: Path) -> None:
    """Far above the parity tolerance of 1e-3 relative: a framework that ignored its input would be found out.

    With plain He initialisation both networks give one and the same class 0.99 whatever the input.
    """
    build(LIGHT / f"light_{name}.onnx", tmp_path / "model.onnx", seed=0)
    outputs = _outputs(tmp_path / "model.onnx", 3)
    assert np.isfinite(outputs).all()
    assert outputs.max() < 0.5
    assert np.median(outputs.std(axis=0) / outputs.mean(axis=0)) > 1e-2


def test_the_light_graph_itself_ignores_its_input() -> None:
    """Why weights are replaced at all."""
    assert np.ptp(_outputs(SQUEEZENET, 2), axis=0).max() < 1e-6


def test_a_file_that_is_no_onnx_graph_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"\x00not a model\xff")
    with pytest.raises(ArtifactError, match=r"model\.onnx: not an ONNX file"):
        build(source, tmp_path / "built.onnx", seed=0)
    assert not (tmp_path / "built.onnx").exists()


def test_a_graph_with_weights_is_refused(squeezenet: Path, tmp_path: Path) -> None:
    """Trained weights are never silently replaced."""
    with pytest.raises(ArtifactError, match="no ConstantOfShape weights"):
        build(squeezenet, tmp_path / "built.onnx", seed=0)


def test_an_unwritable_destination_leaves_nothing_behind(tmp_path: Path) -> None:
    destination = tmp_path / "taken"
    destination.mkdir()
    with pytest.raises(ArtifactError, match="taken: cannot be written"):
        build(SQUEEZENET, destination, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_without_the_onnx_package_the_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CannotRun, match=r"pip install 'pytest-mlscope\[onnx\]'"):
        build(SQUEEZENET, tmp_path / "built.onnx", seed=0)
