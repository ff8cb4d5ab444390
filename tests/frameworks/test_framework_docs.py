"""The documentation of frameworks and hardware targets: its examples run, and it leaves nothing out."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from pytest_mlscope.components.framework import FrameworkDescription, FrameworkFolder
from pytest_mlscope.components.hardware import HardwareTarget

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/frameworks.md").read_text("utf-8")
HARDWARE_DOCS = (ROOT / "docs/hardware.md").read_text("utf-8")


def examples(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


@pytest.mark.parametrize("name", ["nvidia_t4", "npu"])
def test_hardware_examples_are_valid(tmp_path: Path, name: str) -> None:
    (example,) = [text for text in examples(HARDWARE_DOCS, "yaml") if f"\nname: {name}\n" in text]
    (tmp_path / f"{name}.yml").write_text(example)
    assert HardwareTarget.from_file(tmp_path / f"{name}.yml").name == name


def test_every_shipped_hardware_target_and_rule_is_documented() -> None:
    paths = sorted((ROOT / "hardware").glob("*.yml"))
    rules = {HardwareTarget.from_file(path).recognise.rule for path in paths}
    assert [path.stem for path in paths if f"`{path.stem}`" not in HARDWARE_DOCS] == []
    assert [rule for rule in rules if f"`rule: {rule}`" not in HARDWARE_DOCS] == []


def test_every_key_is_documented() -> None:
    for text, model in ((DOCS, FrameworkDescription), (HARDWARE_DOCS, HardwareTarget)):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "frameworks").glob("*/framework.yml")), ids=lambda path: path.parent.name
)
def test_every_framework_and_option_is_documented(path: Path) -> None:
    description = FrameworkFolder(path.parent).description
    section = DOCS.split(f"### {description.name}\n")[1].split("\n### ")[0]
    for option in description.options:
        assert f"| `{option}` |" in section
