"""The JSON Schema of manifests (draft 2020-12), for editors: the same models as those that validate.

``python -m pytest_mlscope.cli.schema`` writes the one for the shipped components to ``manifest.schema.json``
beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from pytest_mlscope.components import Component, FrameworkFolder, Registry
from pytest_mlscope.errors import FrameworkError
from pytest_mlscope.manifest.schema.dataset import DatasetEntry, MetricEntry
from pytest_mlscope.manifest.schema.manifest import Manifest
from pytest_mlscope.manifest.schema.tensors import StepEntry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHIPPED = Path(__file__).with_name("manifest.schema.json")

_Schema = dict[str, Any]


def _summary(component: type[Component]) -> str:
    return (component.__doc__ or component.name).strip().split("\n\n")[0].replace("\n", " ")


def _entry(component: type[Component], own: _Schema, base: _Schema, key: str) -> _Schema:
    """The schema of one component's mapping: the key with its name, the entry's other keys, its parameters."""
    properties = dict(own.get("properties", {}))
    for name, schema in properties.items():
        if isinstance(schema, dict) and "description" not in schema:
            properties[name] = {**schema, "description": f"Parameter of {component.name}."}
    return {
        "type": "object",
        "title": component.name,
        "description": _summary(component),
        "properties": {
            **base["properties"],
            key: {"const": component.name, "description": _summary(component)},
            **properties,
        },
        "required": [*base.get("required", []), *own.get("required", [])],
        "additionalProperties": False,
    }


def _any_entry(
    components: Mapping[str, type[Component]], schemas: Mapping[type[Component], _Schema], base: _Schema, key: str
) -> _Schema:
    entries = [_entry(component, schemas[component], base, key) for component in components.values()]
    return {"description": base["description"], "anyOf": [*entries, _unknown_entry(components, base, key)]}


def _unknown_entry(components: Mapping[str, type[Component]], base: _Schema, key: str) -> _Schema:
    """The mapping of a component that a conftest or plugin may register: any name that is not known, any parameters."""
    name = {"type": "string", "minLength": 1, "not": {"enum": list(components)}}
    name["description"] = "Name of one that a conftest or a plugin registers."
    return {
        "type": "object",
        "properties": {**base["properties"], key: name},
        "required": base.get("required", []),
    }


def _without_titles(schema: Any, *, is_properties: bool = False) -> Any:
    """pydantic titles every field after its name, which editors show instead of what is worth showing."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value, is_properties=key in ("properties", "$defs") and not is_properties)
            for key, value in schema.items()
            if is_properties or key != "title"
        }
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema


def _steps(definition: str, description: str | None) -> _Schema:
    schema: _Schema = {"type": "array", "items": {"$ref": f"#/$defs/{definition}"}, "maxItems": 64}
    return {**schema, "description": description} if description else schema


def manifest_json_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of manifests: strict about what ``registry`` has, open to other datasets, metrics and steps."""
    components: list[type[Component]] = list(
        dict.fromkeys(
            [
                *registry.datasets.values(),
                *registry.metrics.values(),
                *registry.preprocessing_steps.values(),
                *registry.postprocessing_steps.values(),
                *registry.scenarios.values(),
            ]
        )
    )
    models: Sequence[Any] = [Manifest, StepEntry, DatasetEntry, MetricEntry, *components]
    references, together = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions: dict[str, _Schema] = together["$defs"]

    def definition(model: type) -> str:
        return str(references[model, "validation"]["$ref"]).rsplit("/", 1)[1]

    schemas = {component: definitions.pop(definition(component)) for component in components}
    step, metric, dataset = (definitions.pop(definition(m)) for m in (StepEntry, MetricEntry, DatasetEntry))
    definitions["PreprocessingStep"] = _any_entry(registry.preprocessing_steps, schemas, step, "step")
    definitions["PostprocessingStep"] = _any_entry(registry.postprocessing_steps, schemas, step, "step")
    definitions["Dataset"] = _any_entry(registry.datasets, schemas, dataset, "source")
    names = [{"const": name, "description": _summary(kind)} for name, kind in registry.metrics.items()]
    definitions["Metric"] = {
        "description": metric["description"],
        "anyOf": [*names, {"type": "string"}, *_any_entry(registry.metrics, schemas, metric, "metric")["anyOf"]],
    }
    for owner, key, steps in (
        ("Input", "preprocess", "PreprocessingStep"),
        ("Output", "postprocess", "PostprocessingStep"),
    ):
        properties = definitions[owner]["properties"]
        properties[key] = _steps(steps, properties[key]["description"])
    root = definitions.pop(definition(Manifest))
    _specialise(root, definitions, registry)
    _name_scenarios(root, definitions, {kind.name: (kind, schemas[kind]) for kind in registry.scenarios.values()})
    return {
        "$schema": DIALECT,
        "title": "pytest-mlscope model manifest",
        **_without_titles({**root, "$defs": dict(sorted(definitions.items()))}),
    }


def _framework_summary(folder: FrameworkFolder) -> str:
    try:
        return folder.description.description
    except FrameworkError:
        return "Malformed: pytest --mlscope says what is wrong with its framework.yml."


def _specialise(root: _Schema, definitions: dict[str, _Schema], registry: Registry) -> None:
    properties = root["properties"]
    properties["preprocessing_variants"]["additionalProperties"] = {
        "type": "object",
        "additionalProperties": _steps("PreprocessingStep", None),
    }
    properties["dataset"] = {
        "anyOf": [{"$ref": "#/$defs/Dataset"}, {"type": "null"}],
        "description": properties["dataset"]["description"],
    }
    properties["metrics"]["items"] = {"$ref": "#/$defs/Metric"}
    frameworks = properties["frameworks"]
    frameworks["properties"] = {
        name: {"$ref": "#/$defs/FrameworkEntry", "description": _framework_summary(folder)}
        for name, folder in registry.frameworks.items()
    }
    frameworks["additionalProperties"] = False
    usable = registry.hardware_targets.usable()
    targets = [{"const": name, "description": target.description} for name, target in usable.items()]
    definitions["Matrix"]["properties"]["hardware"]["items"] = {"anyOf": targets} if targets else {"type": "string"}


def _name_scenarios(
    root: _Schema, definitions: dict[str, _Schema], scenarios: Mapping[str, tuple[type[Component], _Schema]]
) -> None:
    names = [{"const": name, "description": _summary(kind)} for name, (kind, _) in scenarios.items()]
    # A conftest or a plugin may register others.
    any_name = {"anyOf": [*names, {"type": "string"}]}
    definitions["Matrix"]["properties"]["scenario"]["items"] = any_name
    for owner in ("MatrixEntry", "CaseSelector"):
        stated = definitions[owner]["properties"]["scenario"]
        definitions[owner]["properties"]["scenario"] = {
            "anyOf": [*names, {"type": "string"}, {"type": "null"}],
            "default": None,
            "description": stated["description"],
        }
    root["properties"]["scenarios"]["properties"] = {
        name: {
            "type": "object",
            "description": _summary(kind),
            "properties": own.get("properties", {}),
            "required": own.get("required", []),
            "additionalProperties": False,
        }
        for name, (kind, own) in scenarios.items()
    }


def as_text(schema: Mapping[str, Any]) -> str:
    """A schema as it is written to a file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
