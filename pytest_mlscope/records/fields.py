"""What fields a record has, read from its class."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints, is_typeddict

from pytest_mlscope.record_fields import is_derived


@dataclass(frozen=True)
class Field:
    """One field."""

    name: str
    hint: Any
    """Its type, as the class states it."""
    derived: bool = False
    """Whether it is a property: written, and not read back."""
    optional: bool = False
    """Whether it may lack: reports of earlier releases do not have every field."""


class Hint(NamedTuple):
    """A type, taken apart."""

    type: Any
    marks: tuple[Any, ...]
    """What :mod:`pytest_mlscope.record_fields` says of it."""
    nullable: bool
    choices: tuple[Any, ...]
    """The types of a union, ``None`` left out; of another type, itself."""


@cache
def parsed(hint: Any) -> Hint:
    """Take a type apart. Of ``Seconds | None``, the type is ``float``, and the marks are those of ``Seconds``."""
    marks: tuple[Any, ...] = ()
    nullable = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            marks += tuple(more)
        elif get_origin(hint) in (Union, UnionType):
            choices = tuple(each for each in get_args(hint) if each is not NoneType)
            nullable = nullable or len(choices) < len(get_args(hint))
            if len(choices) > 1:
                return Hint(Any, marks, nullable, choices)
            (hint,) = choices
        elif hasattr(get_origin(hint), "__value__"):
            # A generic ``type`` statement of Python 3.12, which numpy.typing.NDArray is from NumPy 2.5 on.
            hint = get_origin(hint).__value__[get_args(hint)]
        else:
            return Hint(hint, marks, nullable, (hint,))


def fields_of(cls: Any) -> tuple[Field, ...]:
    """The fields of a dataclass or a ``TypedDict``, in order; a dataclass's derived ones come last."""
    return _fields_of(cls)


@cache
def _fields_of(cls: Any) -> tuple[Field, ...]:
    hints = get_type_hints(cls, include_extras=True)
    if is_typeddict(cls):
        required = vars(cls)["__required_keys__"]
        return tuple(Field(name, hint, optional=name not in required) for name, hint in hints.items())
    found = []
    for each in dataclasses.fields(cls):
        lacks = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        found.append(Field(each.name, hints[each.name], optional=not lacks))
    names = dict.fromkeys(name for parent in reversed(cls.__mro__) for name in vars(parent))
    for name in names:
        attribute = getattr(cls, name, None)
        if isinstance(attribute, property) and is_derived(attribute):
            returned = get_type_hints(attribute.fget, include_extras=True)["return"]
            found.append(Field(name, returned, derived=True))
    return tuple(found)


@cache
def texts_of(cls: Any) -> dict[str, str]:
    """Field to what is written below it. Needs the source, so only schema and documentation ask for it."""
    texts: dict[str, str] = {}
    for parent in [cls] if is_typeddict(cls) else reversed(cls.__mro__):
        if not (dataclasses.is_dataclass(parent) or is_typeddict(parent)):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(tree, ast.ClassDef)
        for base in tree.bases:
            # A TypedDict does not keep which others it extends.
            extended = getattr(sys.modules[cls.__module__], base.id, None) if isinstance(base, ast.Name) else None
            texts |= texts_of(extended) if is_typeddict(extended) else {}
        for statement, following in zip(tree.body, [*tree.body[1:], None]):
            if isinstance(statement, ast.FunctionDef):
                text = ast.get_docstring(statement)
                name = statement.name
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text, name = _string(following), statement.target.id
            else:
                continue
            if text:
                texts[name] = as_prose(text)
    return texts


def text_of_class(cls: type) -> str:
    """The first paragraph of its docstring."""
    return as_prose((inspect.getdoc(cls) or "").split("\n\n")[0])


def as_prose(text: str) -> str:
    """Python's words and marks as a reader of JSON knows them.

    >>> as_prose("Median; ``None`` where\\n    unknown.")
    'Median; null where unknown.'
    """
    for python, json in (("``None``", "null"), ("``True``", "true"), ("``False``", "false"), ("``", "")):
        text = text.replace(python, json)
    return " ".join(text.split())


def _string(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else None
    return None
