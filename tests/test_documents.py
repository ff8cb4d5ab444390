"""What the documents say can be followed: links lead somewhere, pages are listed, and README's examples work."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pytest_mlscope.kinds.plugins import shipped_registry
from pytest_mlscope.manifest.load import load_manifest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "model_suites/*/*.md", "frameworks/*/*.md")
    for path in ROOT.glob(pattern)
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The fragments of a page's headings, as hosting sites make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        linked = (path.parent / name) if name else path
        assert linked.exists(), target
        assert not fragment or fragment in anchors(linked), target


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


def test_readme_has_the_two_commands_of_a_new_machine() -> None:
    """Each makes its environment itself; CI runs these very lines."""
    commands = [block.strip() for block in blocks("sh") if block.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install ") for command in commands)
    assert commands[0].endswith(".venv/bin/pytest --mlscope model_suites/digits")
    assert commands[1].endswith(".venv/bin/pytest -n 2")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """README's manifest beside the files of the digits suite."""
    (source,) = blocks("yaml")
    for name in re.findall(r"path: ([\w.-]+)", source):
        shutil.copy(ROOT / "model_suites" / "digits" / name, tmp_path)
    manifest = tmp_path / "digits.mlscope.yml"
    manifest.write_text(source, "utf-8")
    return manifest


def test_readmes_manifest_is_valid(example: Path) -> None:
    content = load_manifest(example, shipped_registry()).content
    assert set(content.frameworks) == {"onnxruntime", "pytorch"}


@pytest.mark.slow
def test_readmes_tests_pass_on_readmes_manifest(
    example: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_hand, without_pytest = blocks("python")
    (example.parent / "test_readme.py").write_text(by_hand, "utf-8")
    (example.parent / "evaluate.py").write_text(without_pytest, "utf-8")
    monkeypatch.setenv("MLSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(example.parent)
    arguments = ("--mlscope", "-p", "no:cacheprovider", "--mlscope-framework", "onnxruntime", f"--rootdir={tmp_path}")
    result = pytester.runpytest_subprocess(*arguments, example.parent)
    result.assert_outcomes(passed=5)
    top1, p50 = pytester.runpython(example.parent / "evaluate.py").outlines[-1].split()
    assert float(top1) > 0.97
    assert 0 < float(p50) < 1
