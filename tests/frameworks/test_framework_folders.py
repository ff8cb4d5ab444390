"""What every shipped framework folder is, checked without the framework."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareTarget

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "frameworks").glob("*/framework.yml"))
HARDWARE = sorted((ROOT / "hardware").glob("*.yml"))
IMPORTS = {
    "onnxruntime": {"onnxruntime"},
    "pytorch": {"torch"},
    "tensorflow": {"tensorflow"},
    "openvino": {"openvino"},
    "opencv-dnn": {"cv2"},
    "executorch": {"executorch", "torch"},  # whose tensors are its inputs
    "caffe": {"caffe", "google"},  # its protobuf messages need google.protobuf
    "litert": {"ai_edge_litert"},
    "tvm": {"tvm", "onnx"},  # the package that its importer of ONNX takes graphs of
    "mxnet": {"mxnet", "onnx"},  # the package that its importer of ONNX reads with
    "caffe2": {"caffe2", "onnx"},  # likewise
}


def requirements(folder: FrameworkFolder) -> list[Requirement]:
    lines = folder.lock.read_text("utf-8").replace("\\\n", " ").splitlines()
    return [Requirement(line.split(" --hash=")[0]) for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest) -> FrameworkFolder:
    return FrameworkFolder(request.param)


def test_all_five_are_shipped() -> None:
    assert {path.name for path in FOLDERS} >= set(IMPORTS)


def test_the_description_is_valid_and_named_as_its_folder(folder: FrameworkFolder) -> None:
    description = folder.description
    assert description.name == folder.path.name
    assert "cpu" in description.devices or description.name == "tensorrt"
    assert set(description.precisions) == set(description.devices)
    assert all("fp32" in precisions for precisions in description.precisions.values())
    assert "model" in description.files


def test_packages_come_from_a_lock_or_from_debian(folder: FrameworkFolder) -> None:
    assert folder.lock.is_file() != bool(folder.description.environment.interpreter)


@pytest.fixture(params=[path for path in FOLDERS if (path / "requirements.lock").is_file()], ids=lambda path: path.name)
def locked_folder(request: pytest.FixtureRequest) -> FrameworkFolder:
    return FrameworkFolder(request.param)


def test_the_lock_is_exact_and_whole(locked_folder: FrameworkFolder) -> None:
    """One ``==`` a line and no local label: a label such as ``+cpu`` exists on one index alone."""
    locked = requirements(locked_folder)
    for requirement in locked:
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), requirement
        assert requirement.marker is None
        assert requirement.url is None
    names = [canonicalize_name(requirement.name) for requirement in locked]
    assert len(names) == len(set(names))
    assert "numpy" in names
    assert any(canonicalize_name(distribution) in names for distribution in locked_folder.description.distributions)


def test_the_locked_version_is_one_the_description_takes(locked_folder: FrameworkFolder) -> None:
    description = locked_folder.description
    distributions = {canonicalize_name(name) for name in description.distributions}
    for requirement in requirements(locked_folder):
        if canonicalize_name(requirement.name) in distributions:
            version = str(requirement.specifier).removeprefix("==")
            assert locked_folder.accepts(version)
    header = re.search(r"for Python (.+?) on Linux x86-64", locked_folder.lock.read_text("utf-8"))
    assert header, "the lock does not say which Python it is for"
    for series in re.findall(r"\d+\.\d+", header[1]):
        assert SpecifierSet(description.python).contains(f"{series}.99")


HOST = ("pytest_mlscope.host.predictor", "pytest_mlscope.host.onnx_file")
"""What of the host a predictor may use."""


def test_the_predictor_is_python_3_6_and_imports_its_framework_alone(folder: FrameworkFolder) -> None:
    """The host may run on an old interpreter, where nothing but NumPy and the framework is installed."""
    source = folder.predictor.read_text("utf-8")
    tree = ast.parse(source, filename=str(folder.predictor), feature_version=(3, 6))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            imported.add(node.module)
    assert "__future__" not in imported
    assert "dataclasses" not in imported
    foreign = {
        name
        for name in imported
        if name not in HOST and name.partition(".")[0] not in {"numpy", *sys.stdlib_module_names}
    }
    assert {name.partition(".")[0] for name in foreign} == IMPORTS.get(folder.name, {folder.name})


def test_the_predictor_reads_no_option_the_description_lacks(folder: FrameworkFolder) -> None:
    tree = ast.parse(folder.predictor.read_text("utf-8"))
    read: set[Any] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            owner = node.func.value
            if "options" in (getattr(owner, "id", ""), getattr(owner, "attr", "")) and node.args:
                read.add(node.args[0].value if isinstance(node.args[0], ast.Constant) else "")
    named_by_helper = {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_choice"
        for argument in node.args[1:2]
        if isinstance(argument, ast.Constant)
    }
    assert (read - {""}) | named_by_helper == set(folder.description.options)


@pytest.mark.parametrize("path", HARDWARE, ids=lambda path: path.stem)
def test_hardware_targets_are_valid_and_named_as_their_file(path: Path) -> None:
    assert HardwareTarget.from_file(path).name == path.stem


def test_every_device_of_a_framework_is_a_hardware_target(folder: FrameworkFolder) -> None:
    assert set(folder.description.devices) <= {path.stem for path in HARDWARE}
