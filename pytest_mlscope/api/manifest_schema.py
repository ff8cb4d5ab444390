"""The JSON Schema of model manifests."""

from __future__ import annotations

from pathlib import Path

from pytest_mlscope.components import build_registry
from pytest_mlscope.kinds import plugin_manager
from pytest_mlscope.manifest import as_text, manifest_json_schema


def manifest_schema_text(project: Path) -> str:
    """As JSON, with the frameworks and hardware targets of a project."""
    return as_text(manifest_json_schema(build_registry(plugin_manager().hook, project=project)))
