"""What is TensorFlow's own: formats, and archives that reach outside."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.perceptron_models import CLASSES, FEATURES, HIDDEN

pytestmark = pytest.mark.frameworks


@pytest.fixture
def subject(release: Callable[[str], Any]) -> Any:
    return release("tensorflow")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that what is left over can be seen."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_keras_file_predicts(subject: Any, perceptron: Any, batch: Any, tmp_path: Path) -> None:
    """Under a name without a suffix, as a cached file may have."""
    keras = pytest.importorskip("tensorflow").keras
    features = keras.Input((FEATURES,), name="features")
    hidden = keras.layers.Dense(HIDDEN, activation="relu")
    scores = keras.layers.Dense(CLASSES, name="scores")
    model = keras.Model(features, scores(hidden(features)))
    hidden.set_weights([perceptron.w1, perceptron.b1])
    scores.set_weights([perceptron.w2, perceptron.b2])
    model.save(tmp_path / "perceptron.keras")
    path = (tmp_path / "perceptron.keras").rename(tmp_path / "cached")
    loaded = subject.load(files={"model": str(path)})
    for size in (1, 5):
        answer = loaded.predict({"features": batch(size)})["scores"]
        np.testing.assert_allclose(answer, perceptron(batch(size)), rtol=1e-5, atol=1e-5)


def test_a_keras_file_with_code_is_refused(subject: Any, tmp_path: Path) -> None:
    """A Lambda layer is Python bytecode; Keras' safe mode does not load it."""
    keras = pytest.importorskip("tensorflow").keras
    features = keras.Input((FEATURES,), name="features")
    path = tmp_path / "lambda.keras"
    keras.Model(features, keras.layers.Lambda(lambda x: x * 2, name="scores")(features)).save(path)
    with pytest.raises(RuntimeError, match=r"lambda\.keras: .*") as error:
        subject.load(files={"model": str(path)})
    assert "\n" not in str(error.value)


def test_a_saved_model_in_a_folder_of_the_archive_is_found(
    subject: Any, perceptron: Any, batch: Any, tmp_path: Path
) -> None:
    path = tmp_path / "nested.zip"
    with zipfile.ZipFile(subject.files["model"]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(f"perceptron/{name}", source.read(name))
    answer = subject.load(files={"model": str(path)}).predict({"features": batch(2)})["scores"]
    np.testing.assert_allclose(answer, perceptron(batch(2)), rtol=1e-5, atol=1e-5)


def test_unloading_removes_what_was_unpacked(subject: Any, scratch: Path) -> None:
    model = subject.load()
    assert list(scratch.iterdir())
    subject.loaded.remove(model)
    model.unload()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "C:/outside", "..\\outside"])
def test_an_entry_that_leads_outside_is_refused(subject: Any, scratch: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "escape.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("saved_model.pb", b"")
        archive.writestr(name, b"")
    with pytest.raises(ValueError, match=r"escape\.zip: entry .*outside"):
        subject.load(files={"model": str(path)})
    assert not list(scratch.iterdir())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["escape.zip", "scratch"]


def test_a_link_in_an_archive_is_refused(subject: Any, scratch: Path, tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    link = zipfile.ZipInfo("saved_model.pb")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"link\.zip: entry 'saved_model\.pb' is a link"):
        subject.load(files={"model": str(path)})
    assert not list(scratch.iterdir())


def test_an_archive_that_unpacks_to_too_much_is_refused(
    subject: Any, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject.module, "_MOST_BYTES", 10)
    with pytest.raises(ValueError, match=r"perceptron\.zip: more than"):
        subject.load()
    assert not list(scratch.iterdir())


def test_a_graph_that_reads_files_is_refused(subject: Any, scratch: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="features")], autograph=False)  # type: ignore[untyped-decorator]  # tensorflow is not there when types are checked
    def call(features: Any) -> dict[str, Any]:
        return {"scores": features, "stolen": tf.io.read_file("/etc/hostname")}

    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": call})
    path = tmp_path / "reads.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (tmp_path / "saved").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "saved"))
    with pytest.raises(ValueError, match=r"reads\.zip: its graph holds ReadFile"):
        subject.load(files={"model": str(path)})
    assert not list(scratch.iterdir())


def test_an_unknown_signature_is_named_with_the_ones_there_are(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"'train'.*serving_default"):
        subject.load(options={"signature": "train"})


def test_another_thread_count_in_the_same_process_is_refused(subject: Any) -> None:
    """TensorFlow fixes the count at its first computation; a wrong count must not pass in silence."""
    subject.load()
    with pytest.raises(RuntimeError, match="threads"):
        subject.load(threads=7)
