"""Model files: found and checked, and what is said when they are not what they should be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mlscope.artifacts.artifact import Artifact
from pytest_mlscope.errors import CannotRun, IntegrityError
from tests.artifacts.materialiser import CONTENT, SHA256, WRONG, Materialiser


def test_a_relative_path(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(CONTENT)
    artifact = get("model.onnx", sha256=SHA256, size=len(CONTENT))
    assert artifact == Artifact(get.base / "model.onnx", SHA256, len(CONTENT))
    assert not get.home.exists(), "a file that is there needs no cache"


def test_a_link_is_followed(get: Materialiser, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (get.base / "model.onnx").symlink_to(tmp_path / "elsewhere")
    assert get("model.onnx").sha256 == SHA256


def test_a_file_url(get: Materialiser, tmp_path: Path) -> None:
    """An escaped absolute path is found; one that names a host is refused with what to write."""
    (tmp_path / "a model.onnx").write_bytes(CONTENT)
    assert get(f"file://{tmp_path}/a%20model.onnx").sha256 == SHA256
    assert get.error("file://model.onnx") == (
        "file://model.onnx: is not of this machine; write file:///absolute/path, or a relative path alone"
    )


def test_missing_folder_and_device(get: Materialiser) -> None:
    (get.base / "saved_model").mkdir()
    os.mkfifo(get.base / "pipe")
    assert get.error("model.onnx") == f"{get.base}/model.onnx: no such file; check the manifest's path"
    assert get.error("saved_model").startswith(f"{get.base}/saved_model: is a folder; a model file is one file")
    assert get.error("pipe") == f"{get.base}/pipe: is not an ordinary file"


def test_another_size_or_hash(get: Materialiser) -> None:
    """The size is held first: it costs nothing, and says more."""
    path = get.base / "model.onnx"
    path.write_bytes(CONTENT)
    advice = "the file was changed or the manifest is out of date"
    assert get.error("model.onnx", size=1, sha256=WRONG) == (f"{path}: has 7,000 bytes, the manifest says 1; {advice}")
    assert get.error("model.onnx", sha256=WRONG) == f"{path}: sha256 is {SHA256}, the manifest says {WRONG}; {advice}"
    with pytest.raises(IntegrityError):
        get("model.onnx", sha256=WRONG)


def test_a_file_changed_between_two_uses(get: Materialiser) -> None:
    """The hash is remembered within a process, but not beyond a change of the file."""
    path = get.base / "model.onnx"
    path.write_bytes(CONTENT)
    get("model.onnx", sha256=SHA256)
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    assert "sha256 is" in get.error("model.onnx", sha256=SHA256)


def test_a_file_is_read_once(get: Materialiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """While size, time and inode stay, the hash is remembered."""
    (get.base / "model.onnx").write_bytes(CONTENT)
    get("model.onnx")
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert get("model.onnx").sha256 == SHA256


class TestPackages:
    def test_with_and_without_the_import_package(self, get: Materialiser) -> None:
        """The import package's name may be left out where it is the distribution's own."""
        path = Path(pytest.__file__).parent / "py.typed"
        assert get("package://pytest/pytest/py.typed").path == path
        assert get("package://pytest/py.typed").path == path

    def test_nothing_is_imported(self, get: Materialiser) -> None:
        """A file in a framework's package is found without importing the framework."""
        code = (
            "import sys; from pytest_mlscope.artifacts.package_file import package_file;"
            "package_file('package://onnxruntime/onnxruntime/__init__.py'); print('onnxruntime' in sys.modules)"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout == "False\n"

    def test_an_editable_installation(self, get: Materialiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its metadata is in one place and its files in another."""
        information = tmp_path / "site" / "toy_models-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n")
        package = tmp_path / "checkout" / "toy_models"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.onnx").write_bytes(CONTENT)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.syspath_prepend(tmp_path / "checkout")
        assert get("package://toy-models/toy_models/model.onnx").path == package / "model.onnx"
        assert get("package://toy-models/model.onnx").path == package / "model.onnx"

    def test_a_distribution_that_is_not_installed(self, get: Materialiser) -> None:
        with pytest.raises(CannotRun) as caught:
            get("package://no-such-thing/model.onnx")
        assert caught.value.command == "pip install no-such-thing"
        assert caught.value.reason == "package://no-such-thing/model.onnx needs the distribution no-such-thing"

    def test_no_such_file(self, get: Materialiser) -> None:
        version = pytest.__version__
        assert get.error("package://pytest/model.onnx") == (
            f"package://pytest/model.onnx: pytest {version} has no such file; check the path, or the version that "
            "the manifest means"
        )

    @pytest.mark.parametrize("path", ["../secret", "pytest/../../secret", "/etc/passwd"])
    def test_leaving_the_distribution(self, get: Materialiser, path: str) -> None:
        assert "leaves the distribution" in get.error(f"package://pytest/{path}")

    @pytest.mark.parametrize("url", ["package://", "package://pytest", "package://pytest/"])
    def test_naming_nothing(self, get: Materialiser, url: str) -> None:
        assert get.error(url) == f"{url}: names no file; write package://DISTRIBUTION/path/in/it"


def _field(number: int, content: bytes | int) -> bytes:
    """One of protobuf's; short ones only."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def _onnx_with_weights_in(*names: str) -> bytes:
    """An ONNX file: ir_version, and a graph of weights in other files."""
    weights = b""
    for name in names:
        location = _field(13, _field(1, b"location") + _field(2, name.encode()))
        weights += _field(5, _field(1, 4) + _field(2, 1) + _field(8, b"w") + location + _field(14, 1))
    return _field(1, 8) + _field(7, weights)


@pytest.mark.parametrize("name", ["model.onnx", "model.bin"])
def test_external_weights_are_part_of_a_files_sha256(get: Materialiser, name: str) -> None:
    model = _onnx_with_weights_in("b.data", "a.data", "a.data")
    (get.base / name).write_bytes(model)
    (get.base / "a.data").write_bytes(b"a" * 16)
    (get.base / "b.data").write_bytes(b"b" * 16)
    both = hashlib.sha256(model + b"a" * 16 + b"b" * 16).hexdigest()
    alone = hashlib.sha256(model).hexdigest()
    found = get(name, sha256=both, size=len(model))
    assert (found.sha256, [path.name for path in found.external]) == (both, ["a.data", "b.data"])
    message = get.error(name, sha256=alone)
    assert "the manifest's sha256 covers this file alone, but weights are also in a.data, b.data; write" in message
    assert f"sha256 of all: {both} (`cat {name} a.data b.data | sha256sum`)" in message
    (get.base / "b.data").write_bytes(b"c" * 17)
    assert f"the manifest says {both}" in get.error(name, sha256=both)


def test_missing_external_weights_are_told_before_a_framework_looks(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(_onnx_with_weights_in("gone.data"))
    message = get.error("model.onnx")
    assert message.startswith(
        f"{get.base}/model.onnx keeps weights in another file: {get.base}/gone.data: no such file"
    )


def test_a_file_that_is_no_onnx_file_has_no_external_weights(get: Materialiser) -> None:
    (get.base / "model.onnx").write_bytes(b"\x08\x07rubbish")
    assert get("model.onnx").external == ()
