"""The page on options, markers and fixtures says what there is, and nothing that is not."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_args

import pytest

import pytest_mlscope
from pytest_mlscope import plugin
from pytest_mlscope.cases import CaseChoice
from pytest_mlscope.components.framework import Precision
from pytest_mlscope.option_values import DEFAULT_TIMEOUT, PRECISIONS
from pytest_mlscope.session import options

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "options.md").read_text("utf-8")


class OptionRecorder:
    """Stands in for pytest's parser and its option group."""

    def __init__(self) -> None:
        self.options: dict[str, dict[str, Any]] = {}

    def getgroup(self, *_: str) -> OptionRecorder:
        return self

    def addini(self, *_: object) -> None:
        pass

    def addoption(self, name: str, **settings: Any) -> None:
        self.options[name] = settings


def recorded() -> dict[str, dict[str, Any]]:
    recorder = OptionRecorder()
    options.add_options(cast(pytest.Parser, recorder))
    return recorder.options


def section(heading: str) -> str:
    return DOCUMENT.partition(f"\n### `{heading}`\n")[2].partition("\n### ")[0].partition("\n## ")[0].strip()


@pytest.mark.parametrize("name", recorded())
def test_every_option_has_a_section_with_its_value_and_default(name: str) -> None:
    settings = recorded()[name]
    text = section(" ".join(filter(None, [name, settings.get("metavar")])))
    assert text
    if isinstance(settings.get("default"), float):
        assert f"{settings['default']:g}" in text


def test_precisions_and_the_timeout_are_those_there_are() -> None:
    assert recorded()["--mlscope-timeout"]["default"] == DEFAULT_TIMEOUT
    named = re.findall(r"`(\w+)`", section("--mlscope-precision NAME[,NAME]"))
    assert tuple(named) == PRECISIONS == get_args(Precision)


def test_no_document_names_an_option_that_is_not_there() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "model_suites").rglob("*.md")):
        unknown = set(re.findall(r"--mlscope[a-z-]*", path.read_text("utf-8"))) - set(recorded())
        assert not unknown, path


@pytest.mark.parametrize("marker", options.MARKERS)
def test_every_marker_is_documented(marker: str) -> None:
    name = marker.partition(":")[0].partition("(")[0]
    table = DOCUMENT.partition("\n## Markers\n")[2].partition("\n## ")[0]
    assert re.search(rf"^\| .*`{name}[`(].*\|", table, re.MULTILINE)


def test_every_fixture_is_documented() -> None:
    fixtures = re.findall(r"^@pytest\.fixture\ndef (\w+)", inspect.getsource(plugin), re.MULTILINE)
    assert "evaluation" in fixtures
    for name in {*fixtures, "mlscope_case", "mlscope_cases"}:
        assert section(name), name


def test_every_keyword_of_what_is_called_is_named() -> None:
    keywords = {*inspect.signature(pytest_mlscope.evaluate).parameters, *CaseChoice.__annotations__}
    settings = {each.name for each in fields(pytest_mlscope.EvaluationSettings)}
    for name in keywords - {"manifest", "case"} | settings:
        assert f"`{name}`" in DOCUMENT, name


def test_every_environment_variable_is_documented() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "pytest_mlscope").rglob("*.py"))
    variables = set(re.findall(r"\bMLSCOPE_[A-Z_]+\b", sources))
    assert "MLSCOPE_HOME" in variables
    for name in variables:
        assert re.search(rf"^\| `{name}` \|", DOCUMENT, re.MULTILINE), name
