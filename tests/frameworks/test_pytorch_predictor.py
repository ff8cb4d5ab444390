"""What is PyTorch's own: formats, precisions, and files that would run code."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.host.predictor import TensorDescription, Unsupported
from tests.frameworks.perceptron_models import FEATURES, torch_module

pytestmark = pytest.mark.frameworks


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("pytorch")


@pytest.fixture
def script(subject: Any, perceptron: Any, tmp_path: Path) -> Path:
    torch = pytest.importorskip("torch")
    path = tmp_path / "perceptron.pt"
    torch.jit.trace(torch_module(perceptron), torch.zeros(2, FEATURES)).save(str(path))
    return path


def test_torchscript_predicts(subject: Any, script: Path, perceptron: Any, batch: Any) -> None:
    model = subject.load(files={"model": str(script)})
    bound = model.bind({"features": batch(3)})
    bound.run()
    for scores in (model.predict({"features": batch(3)}), bound.outputs()):
        np.testing.assert_allclose(scores["scores"], perceptron(batch(3)), rtol=1e-5, atol=1e-5)


def test_torchscript_has_no_mixed_precision(subject: Any, script: Path) -> None:
    with pytest.raises(Unsupported, match="bf16"):
        subject.load(files={"model": str(script)}, precision="bf16")


def test_bf16_computes_in_bf16(subject: Any, perceptron: Any, batch: Any) -> None:
    """Close to fp32 and different from it, or the precision was not obeyed."""
    model = subject.load(precision="bf16")
    bound = model.bind({"features": batch(8)})
    bound.run()
    for scores in (model.predict({"features": batch(8)})["scores"], bound.outputs()["scores"]):
        difference = np.abs(scores - perceptron(batch(8))).max()
        assert 1e-3 < difference < 0.5
    assert model.resolved["precision"] == "bf16"


def test_a_model_of_another_type_is_not_fp32(subject: Any, perceptron: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "double.pt"
    torch.jit.trace(torch_module(perceptron).double(), torch.zeros(2, FEATURES, dtype=torch.float64)).save(str(path))
    with pytest.raises(Unsupported, match="float64"):
        subject.load(files={"model": str(path)})


def test_a_pickled_module_is_refused_unopened(subject: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path, mark = tmp_path / "pickled.pt", tmp_path / "mark"
    torch.save(Bomb(mark), path)
    with pytest.raises(RuntimeError, match=r"pickled\.pt: a pickled object, .*torch\.export\.save"):
        subject.load(files={"model": str(path)})
    assert not mark.exists()


@pytest.mark.parametrize(
    "entry", ["data/constants/opaque_obj_0", "data/aotinductor/model/run.so", "data/constants/custom_obj_0"]
)
def test_an_archive_that_brings_code_is_refused(subject: Any, tmp_path: Path, entry: str) -> None:
    path = tmp_path / "code.pt2"
    path.write_bytes(Path(subject.files["model"]).read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0].split("/")[0] + "/" + entry, b"")
    with pytest.raises(RuntimeError, match=f"holds {entry}"):
        subject.load(files={"model": str(path)})


def test_pickles_inside_an_exported_program_do_not_run(subject: Any, tmp_path: Path) -> None:
    """``torch.export.load`` on its own unpickles anything among the sample inputs."""
    torch = pytest.importorskip("torch")
    path, mark, bomb = tmp_path / "bomb.pt2", tmp_path / "mark", tmp_path / "bomb"
    torch.save(Bomb(mark), bomb)
    with zipfile.ZipFile(subject.files["model"]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = bomb.read_bytes() if "sample_inputs" in name else source.read(name)
            target.writestr(name, content)
    with pytest.raises(RuntimeError, match=r"bomb\.pt2: ") as error:
        subject.load(files={"model": str(path)})
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_a_model_that_writes_to_its_input_cannot_be_bound(subject: Any, tmp_path: Path, batch: Any) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "inplace.pt"
    torch.jit.trace(torch.nn.ReLU(inplace=True), torch.ones(2, FEATURES)).save(str(path))
    names = [argument.name for argument in torch.jit.load(str(path)).forward.schema.arguments[1:]]
    model = subject.load(files={"model": str(path)}, inputs=[TensorDescription(names[0], "float32", [None, FEATURES])])
    features = batch(2)
    model.predict({names[0]: features})
    np.testing.assert_array_equal(features, batch(2))
    with pytest.raises(ValueError, match="writes to its input"):
        model.bind({names[0]: features})


def test_the_threads_are_the_processes(subject: Any) -> None:
    torch = pytest.importorskip("torch")
    subject.load()
    assert torch.get_num_threads() == 2
    assert torch.get_num_interop_threads() == 1
