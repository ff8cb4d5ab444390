"""Mistakes in ``framework.yml`` and hardware files: a line each, at their place, and only for those they concern."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mlscope import hookspecs
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.registry import Registry, build_registry
from pytest_mlscope.errors import FrameworkError, ManifestError, MlscopeError
from pytest_mlscope.kinds import register_shipped
from pytest_mlscope.manifest.load import load_manifest
from tests.manifest import manifest_samples

FRAMEWORK = """\
schema: 1
name: mine
description: My framework
distributions: [mine]
version: ">=1"
files: {model: the model}
optional_files: {weights: the weights}
devices:
  cpu: CPU
  cuda: GPU
precisions:
  cpu: [fp32, bf16]
  cuda: [fp32]
thread_scope: model
options: {spin: whether it spins}
unfused: {spin: false}
"""
HARDWARE = """\
schema: 1
name: npu
description: An NPU
recognise: {rule: path, path: /dev/npu}
devices: {mine: NPU}
"""
LINE = re.compile(r":\d+:\d+: .+")


@pytest.fixture
def mistakes(tmp_path: Path) -> Callable[[str], list[str]]:
    """What is wrong with a ``framework.yml``, without the file's name."""

    def find(text: str) -> list[str]:
        (tmp_path / "framework.yml").write_text(text, "utf-8")
        with pytest.raises(FrameworkError) as caught:
            _ = FrameworkFolder(tmp_path).description
        lines = str(caught.value).split("\n")
        assert all(line.startswith(f"{tmp_path}/framework.yml:") for line in lines)
        return [line.removeprefix(f"{tmp_path}/framework.yml:") for line in lines]

    return find


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: mine", "name: Mine", "2:7: name is the text 'Mine'; allowed: a lower-case letter, then"),
        ("name: mine", "name: mine\nname: mine", "3:1: duplicate key 'name'"),
        ("name: mine\n", "", "1:1: missing key 'name'; the file requires it"),
        ("options:", "option:", "15:1: unknown key 'option' in the file; allowed: schema, name"),
        ('">=1"', "1.0", "5:10: version is the number 1.0; allowed: text, so put it in quotes"),
        ('">=1"', "new", "5:10: version: 'new' is not a PEP 440 version constraint"),
        ("fp32, bf16", "fp23", "12:9: precisions.cpu[0] is the text 'fp23'; allowed: fp32,"),
        ("fp32, bf16", "fp32, fp32", "12:15: duplicate precision 'fp32'"),
        ("fp32, bf16", "", "12:8: precisions.cpu is empty"),
        ("  cuda: GPU\n", "", "12:3: 'cuda' is not among the file's devices; allowed: cpu"),
        ("  cuda: [fp32]\n", "", "12:3: missing key 'cuda'; precisions requires it, since devices has it"),
        ("  cpu: CPU", "  CPU: CPU", "9:3: devices has the name 'CPU'; allowed: a hardware target"),
        ("{spin:", "{a b:", "15:11: options has the name 'a b'"),
        ("unfused: {spin", "unfused: {turn", "16:11: 'turn' is not among the file's options; allowed: spin"),
        ("{weights:", "{model:", "7:18: 'model' is among files"),
        ("{model: the model}", "{}", "6:8: files is empty"),
        ("name: mine", "name: [", "not YAML"),
    ],
)
def test_a_mistake_is_reported_where_it_stands(
    mistakes: Callable[[str], list[str]], old: str, new: str, expected: str
) -> None:
    assert old in FRAMEWORK
    assert any(expected in line for line in mistakes(FRAMEWORK.replace(old, new, 1)))


def test_all_mistakes_are_there_at_once_in_order(mistakes: Callable[[str], list[str]]) -> None:
    """Those between keys too, though the file is not valid without them."""
    text = FRAMEWORK.replace("schema: 1", "schema: 2").replace("  cuda: GPU\n", "").replace("scope: model", "scope: no")
    assert [line.split(": ")[0] for line in mistakes(text)] == ["1:9", "12:3", "13:15"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FrameworkError, match=r"framework\.yml: there is no such file$"):
        _ = FrameworkFolder(tmp_path).description


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: npu", "name: NPU", "2:7: name is the text 'NPU'"),
        ("rule: path, ", "", "4:12: missing key 'rule'; recognise requires it"),
        (
            "rule: path",
            "rule: pth",
            "4:19: recognise.rule is the text 'pth'; allowed: always, cpu, nvml, path, pci, provider",
        ),
        (
            "{rule: path, path: /dev/npu}",
            "always",
            "recognise is the text 'always'; allowed: a mapping such as {rule: a",
        ),
        ("path: /dev/npu", "path: 3", "4:31: recognise.path is the number 3; allowed: text"),
        ("path: /dev/npu", "path: x, pth: y", "4:34: unknown key 'pth' in recognise; allowed: rule, "),
        (", path: /dev/npu", "", "4:12: missing key 'path'; recognise requires it"),
    ],
)
def test_a_mistake_in_a_hardware_file_is_reported_where_it_stands(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    """``path`` is a rule's name and a key of that rule: the one must not be taken for the other."""
    assert old in HARDWARE
    path = tmp_path / "npu.yml"
    path.write_text(HARDWARE.replace(old, new, 1), "utf-8")
    with pytest.raises(MlscopeError) as caught:
        HardwareTarget.from_file(path)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).startswith(f"{path}:")
    assert expected in str(caught.value)


ODD: list[Any] = [None, True, -1, 1.5, "", "x", "😀", [], ["x"], [[]], {}, {"x": 1}, {"": None}, {"cpu": ["fp32"]}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(yaml.safe_load(FRAMEWORK))), st.sampled_from(ODD)), min_size=1))
def test_odd_values_anywhere_load_or_say_why(tmp_path: Path, changes: list[tuple[str, Any]]) -> None:
    """No value of any type may reach a check that does not expect it, and the folder keeps a name."""
    (tmp_path / "framework.yml").write_text(yaml.safe_dump({**yaml.safe_load(FRAMEWORK), **dict(changes)}), "utf-8")
    folder = FrameworkFolder(tmp_path)
    assert folder.name
    try:
        assert folder.description.name == folder.name
    except FrameworkError as error:
        prefix = str(folder.source)
        lines = str(error).split("\n")
        assert all(line.startswith(prefix) and LINE.match(line.removeprefix(prefix)) for line in lines), lines


@pytest.fixture
def project_registry(tmp_path: Path) -> Callable[[], Registry]:
    """What is registered for a project with the frameworks in its folder."""

    def build() -> Registry:
        plugins = pytest.PytestPluginManager()
        plugins.add_hookspecs(hookspecs)
        register_shipped(plugins)
        return build_registry(plugins.hook, project=tmp_path)

    return build


def _add(project: Path, name: str, text: str) -> Path:
    folder = project / "frameworks" / name
    folder.mkdir(parents=True)
    (folder / "framework.yml").write_text(text, "utf-8")
    return folder / "framework.yml"


def _manifest(project: Path, framework: str) -> Path:
    path = project / "model.mlscope.yml"
    path.write_text(manifest_samples.MINIMAL.replace("onnxruntime", framework), "utf-8")
    return path


def test_a_malformed_framework_is_no_matter_to_manifests_that_do_not_name_it(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    _add(tmp_path, "broken", "[")
    assert load_manifest(_manifest(tmp_path, "onnxruntime"), project_registry()).content.frameworks


def test_a_manifest_that_names_a_malformed_framework_shows_its_mistakes(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    """Under the name its file gives it, which need not be the folder's; a shipped one of that name is not used."""
    source = _add(tmp_path, "folder", FRAMEWORK.replace("mine", "onnxruntime", 1).replace("scope: model", "scope: no"))
    with pytest.raises(ManifestError) as caught:
        load_manifest(_manifest(tmp_path, "onnxruntime"), project_registry())
    assert f"framework 'onnxruntime' cannot be used: {source}:14:15: thread_scope is" in str(caught.value)


def test_an_unknown_framework_says_where_they_are_looked_up_and_which_are_malformed(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    source = _add(tmp_path, "broken", "[")
    with pytest.raises(ManifestError) as caught:
        load_manifest(_manifest(tmp_path, "mine"), project_registry())
    line = str(caught.value).splitlines()[0]
    assert "unknown framework 'mine'; allowed: " in line
    assert ", onnxruntime, " in line
    assert (
        "looked in frameworks/ of the rootdir (--rootdir sets it), of installed packages and of pytest-mlscope" in line
    )
    assert line.endswith(f"malformed: {source}")
