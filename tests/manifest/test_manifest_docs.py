"""The manifest's documentation knows every key, and its example is one."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from pytest_mlscope.documents.model_paths import field_names
from pytest_mlscope.kinds.plugins import shipped_registry
from pytest_mlscope.manifest import schema
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.manifest.schema.manifest import Manifest

PAGE = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
MODULES = [import_module(f"{schema.__name__}.{module.name}") for module in pkgutil.iter_modules(schema.__path__)]
MODELS = [
    model
    for module in MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
    if model.model_fields
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    section = SECTIONS["Top level" if model is Manifest else model.__name__]
    assert [key for key in field_names(model) if not re.search(rf"`{key}[`:]", section)] == []


def test_the_example_loads(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    path = tmp_path / "iris.mlscope.yml"
    path.write_text(example[1], "utf-8")
    loaded = load_manifest(path, shipped_registry())
    assert loaded.content.name == "iris-mlp"
