"""Where in a document pydantic's errors are, and which models it could be there."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pytest_mlscope.documents.source import Path


def _flatten(annotation: Any) -> Iterator[Any]:
    # Annotated[T, …] is T for this purpose, and may be nested.
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _flatten(member)
    else:
        yield annotation


def field_names(model: type[BaseModel]) -> dict[str, str]:
    """Keys a document has, to the model's attribute names."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


# A list of a hundred thousand wrong entries asks of each the same.
@lru_cache(maxsize=1024)
def models_at(model: type[BaseModel], path: Path) -> tuple[type[BaseModel], ...]:
    """The models that what is at a path may be."""
    annotations: list[Any] = [model]
    for part in path:
        inner: list[Any] = []
        for annotation in annotations:
            arguments = get_args(annotation)
            if isinstance(annotation, type) and not arguments and issubclass(annotation, BaseModel):
                name = field_names(annotation).get(str(part))
                inner += _flatten(annotation.model_fields[name].annotation) if name else []
            elif arguments:
                # Of a mapping only the values' type: its keys are text.
                for argument in arguments[-1:] if get_origin(annotation) is dict else arguments:
                    inner += _flatten(argument)
        annotations = inner
    return tuple(a for a in annotations if isinstance(a, type) and not get_args(a) and issubclass(a, BaseModel))


class Located(NamedTuple):
    """One of pydantic's errors."""

    path: Path
    union: Path | None
    """Where the data may be of several types."""
    branch: str
    """Which of these types pydantic tried."""
    error: ErrorDetails


@lru_cache(maxsize=1024)
def _is_tagged_union(model: type[BaseModel], path: Path) -> bool:
    """Whether one key of what is at a path says which model it is, so that pydantic names that key's value next."""
    if not path:
        return False
    parents = models_at(model, path[:-1])
    names = [(parent, field_names(parent).get(str(path[-1]))) for parent in parents]
    return any(parent.model_fields[name].discriminator is not None for parent, name in names if name)


def locate(error: ErrorDetails, model: type[BaseModel], data: Any) -> Located:
    """Split pydantic's location into the path in the document and the union branch it names on the way."""
    path: list[str | int] = []
    union: Path | None = None
    branch = ""
    place = data
    location = error["loc"]
    tag = False
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if tag:
            tag = False
            continue
        is_item = isinstance(place, list) and isinstance(part, int) and part < len(place)
        if is_item or (isinstance(place, dict) and part in place):
            place = place[part]
        # What the data does not have is the name of a union's branch, unless it is the key that is missing.
        elif not (last and error["type"] == "missing"):
            if union is None:
                union, branch = tuple(path), str(part)
            continue
        path.append(part)
        tag = not last and isinstance(part, str) and _is_tagged_union(model, tuple(path))
    return Located(tuple(path), union, branch, error)
