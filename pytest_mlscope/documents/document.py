"""Reading a YAML file as a model, or saying everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_mlscope.documents.diagnostics import Mistake, found, render
from pytest_mlscope.documents.pydantic_mistakes import SchemaMistake, schema_mistakes
from pytest_mlscope.documents.source import MAX_BYTES, Position, Source, read_source
from pytest_mlscope.documents.source import Path as DocumentPath
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.ordinary_files import read_ordinary

_Model = TypeVar("_Model", bound=BaseModel)


class KeyMistake(NamedTuple):
    """What is wrong between keys."""

    path: DocumentPath
    message: str
    key: bool = False
    """Whether it is the entry's key that is wrong, and not its value."""


def read_bytes(path: Path) -> bytes:
    """A file's bytes, one more than ``MAX_BYTES`` at most.

    :raises MlscopeError: when there is no such file, or it cannot be read.
    """
    try:
        return read_ordinary(path, most=MAX_BYTES + 1)
    except FileNotFoundError:
        raise MlscopeError(f"{path}: there is no such file") from None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise MlscopeError(render(path, [Mistake(Position(1, 1), message)])) from None


def source_mistakes(source: Source) -> list[Mistake]:
    """What is wrong with a file as YAML, and with a document that is no mapping."""
    mistakes = [Mistake(mistake.position, mistake.message) for mistake in source.mistakes]
    if source.readable and not isinstance(source.data, dict):
        message = f"the file is {found(source.data)}; allowed: a mapping with the key 'schema' and others"
        mistakes.append(Mistake(source.position(()), message))
    return mistakes


def placed(source: Source, mistakes: Iterable[SchemaMistake]) -> Iterable[Mistake]:
    """Schema mistakes, at the token that is wrong: the key where it is unknown, else the value."""
    for path, message, kind, *_ in mistakes:
        if kind == "unknown key":
            yield Mistake(source.key_position(path), message)
        else:
            yield Mistake(source.position(path[:-1] if kind == "missing" else path), message)


def read_document(
    path: Path, model: type[_Model], *, check: Callable[[Mapping[str, Any]], Iterable[KeyMistake]] | None = None
) -> _Model:
    """Read a file and validate it.

    :param check: what is wrong between keys; it gets the plain data, whose types need not be right.
    :raises MlscopeError: with one line ``file:line:column: …`` for each mistake.
    """
    source = read_source(read_bytes(path))
    mistakes = source_mistakes(source)
    if not isinstance(source.data, dict):
        raise MlscopeError(render(path, mistakes))
    # Where a value is wrong as YAML already, what stands there instead says nothing about the user's.
    known = {mistake.path for mistake in source.mistakes if mistake.path is not None}
    content: _Model | None = None
    try:
        content = model.model_validate(source.data)
    except ValidationError as error:
        wrong = schema_mistakes(error, model=model, data=source.data, place=lambda inner: inner)
        mistakes += placed(source, [each for each in wrong if not each.silent and each.path not in known])
    for finding in check(source.data) if check else ():
        if finding.path not in known:
            where = source.key_position(finding.path) if finding.key else source.position(finding.path)
            mistakes.append(Mistake(where, finding.message))
    if mistakes or content is None:
        raise MlscopeError(render(path, mistakes))
    return content
