"""The JSON Schema agrees with what the loader accepts, and tells an editor about every key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_mlscope.components.registry import Registry
from pytest_mlscope.documents.source import read_source
from pytest_mlscope.kinds.plugins import shipped_registry
from pytest_mlscope.manifest.json_schema import SHIPPED, as_text, manifest_json_schema
from tests.manifest import manifest_samples

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validator(registry: Registry) -> Any:
    schema = manifest_json_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", [manifest_samples.COMPLETE, manifest_samples.MINIMAL])
def test_valid_manifests_agree_with_it(validator: Any, text: str) -> None:
    assert [error.message for error in validator.iter_errors(read_source(text.encode()).data)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema: 1", "schema: 2"),
        ("task: image", "tusk: image"),
        ("  openvino:\n", "  opnvino:\n"),
        ("dtype: float32", "dtype: float33"),
        ("kernel: bilinear", "kernel: linear"),
        ("factor: 0.0625", "facto: 0.0625"),
        ("    k: 2\n", "    k: two\n"),
        ("p50: 5 ms", "p50: 5"),
        ("peak_memory: 500 MB", "peak_memory: 500 MiBs"),
        ("hardware: [cpu]", "hardware: [cppu]"),
        ("relative_error: 0.02", "relative_error: 2"),
    ],
)
def test_wrong_manifests_do_not(validator: Any, old: str, new: str) -> None:
    text = manifest_samples.COMPLETE.replace(old, new, 1)
    assert text != manifest_samples.COMPLETE
    assert not validator.is_valid(read_source(text.encode()).data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- step: scale", "- step: mine"),
        ("source: table", "source: mine"),
        ("- top1\n", "- mine\n"),
        ("- metric: topk", "- metric: mine"),
    ],
)
def test_what_a_conftest_may_register_agrees_with_it(validator: Any, old: str, new: str) -> None:
    """An editor sees no conftest, and must not call a right manifest wrong."""
    text = manifest_samples.COMPLETE.replace(old, new, 1)
    assert text != manifest_samples.COMPLETE
    assert [error.message for error in validator.iter_errors(read_source(text.encode()).data)] == []


def _properties(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}.{name}", inner
        for key, inner in schema.items():
            yield from _properties(inner, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from _properties(inner, f"{path}[{index}]")


def test_every_key_is_described(registry: Registry) -> None:
    properties = dict(_properties(manifest_json_schema(registry)))
    assert len(properties) > 100
    assert [path for path, schema in properties.items() if not schema.get("description")] == []


def test_the_shipped_schema_is_current() -> None:
    """``python -m pytest_mlscope.cli.schema`` writes it anew."""
    current = manifest_json_schema(shipped_registry())
    assert SHIPPED.is_file()
    assert json.loads(SHIPPED.read_text("utf-8")) == json.loads(as_text(current))


@pytest.mark.parametrize("path", sorted(ROOT.glob("model_suites/**/*.mlscope.yml")), ids=lambda path: path.name)
def test_shipped_manifests_agree_with_it(path: Path) -> None:
    schema = json.loads(SHIPPED.read_text("utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(read_source(path.read_bytes()).data)
    assert [error.message for error in errors] == []
