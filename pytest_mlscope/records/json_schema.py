"""The JSON Schema of records, made of their classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from typing import Any, Literal, get_args, get_origin, is_typeddict

import numpy as np

from pytest_mlscope.record_fields import Format, Least, Mark, Pattern, Unit
from pytest_mlscope.records.fields import fields_of, parsed, text_of_class, texts_of

_TYPES = {str: "string", int: "integer", bool: "boolean"}


def schema_of(hint: Any) -> dict[str, Any]:
    """Of a type that stands in a record."""
    kind, marks, nullable, choices = parsed(hint)
    nullable = nullable or Mark.OMISSIBLE in marks
    if len(choices) > 1:
        found: dict[str, Any] = {"anyOf": [schema_of(choice) for choice in choices]}
        if nullable:
            found["anyOf"].append({"type": "null"})
        return found
    found = _schema(kind, marks)
    for mark in marks:
        if isinstance(mark, Least):
            found["exclusiveMinimum" if mark.above else "minimum"] = mark.value
        elif isinstance(mark, Pattern):
            found["pattern"] = mark.expression
        elif isinstance(mark, Format):
            found["format"] = mark.name
        elif isinstance(mark, Unit):
            found["unit"] = mark.name
    # JSON has neither NaN nor infinity, so null takes their place.
    if kind is float and Mark.FINITE not in marks:
        nullable = True
    if nullable and "type" in found:
        found["type"] = [found["type"], "null"]
        # A value must match both type and enum, so null has to be in each.
        if "enum" in found:
            found["enum"].append(None)
    return found


def _schema(kind: Any, marks: tuple[Any, ...]) -> dict[str, Any]:
    origin = get_origin(kind)
    if kind is Any:
        return {}
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return _record(kind)
    if origin is np.ndarray:
        return _array(kind)
    if origin is AbstractMapping:
        element = get_args(kind)[1]
        return {"type": "object"} if element is Any else {"type": "object", "additionalProperties": schema_of(element)}
    if origin is tuple and get_args(kind)[-1] is not Ellipsis:
        elements = get_args(kind)
        return {"type": "array", "items": schema_of(elements[0]), "minItems": len(elements), "maxItems": len(elements)}
    if origin in (AbstractSequence, tuple, list):
        return {"type": "array", "items": schema_of(get_args(kind)[0])}
    if origin is Literal:
        values = get_args(kind)
        return {"const": values[0]} if len(values) == 1 else {"type": "string", "enum": list(values)}
    return {"type": "number" if kind is float else _TYPES[kind]}


def _array(kind: Any) -> dict[str, Any]:
    element = get_args(get_args(kind)[1])[0]
    if element is Any:
        return {"type": "array", "items": {}}
    whole = np.issubdtype(element, np.integer)
    return {"type": "array", "items": {"type": "integer" if whole else ["number", "null"]}}


def _record(cls: Any) -> dict[str, Any]:
    texts = texts_of(cls)
    properties = {field.name: {**schema_of(field.hint), "description": texts[field.name]} for field in fields_of(cls)}
    found: dict[str, Any] = {"type": "object", "description": text_of_class(cls), "properties": properties}
    if is_typeddict(cls) and not vars(cls)["__total__"]:
        # What a framework or a machine tells of itself grows.
        return found
    return {**found, "required": list(properties), "additionalProperties": False}
