"""What pydantic found wrong, in plain words and at its place: one mistake, one line."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pytest_mlscope.documents.diagnostics import (
    MAX_LINES,
    dotted,
    found,
    listed,
    one_line,
    quoted,
    suggestion,
)
from pytest_mlscope.documents.model_paths import Located, field_names, locate, models_at
from pytest_mlscope.documents.source import Path, is_plain_text
from pytest_mlscope.text import did_you_mean, meant_by


class SchemaMistake(NamedTuple):
    """A mistake at a path of the document."""

    path: Path
    message: str
    kind: typing.Literal["missing", "unknown key", "value"]
    proposal: str | None = None
    """The key that was meant by an unknown one, where that is clear."""
    silent: bool = False
    """Whether another mistake says it already."""


_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "nothing",
    "finite_number": "a finite number",
    "path_type": "text",
    "bytes_type": "text",
}
_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_PATTERNS = {
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    r"^[A-Z]{1,8}$": "one capital letter a dimension, such as NCHW",
    r"^[0-9]{0,18}:[0-9]{0,18}$": "a slice first:past_last, such as 0:450",
    r"^[a-z0-9][a-z0-9._-]*$": "lower-case letters, digits, '.', '_' and '-'",
    r"^[a-z][a-z0-9_-]*$": "a lower-case letter, then lower-case letters, digits, '_' and '-'",
    r"^[a-z][a-z0-9_]*$": "a lower-case letter, then lower-case letters, digits and '_'",
}


def _allowed(error: ErrorDetails) -> str | None:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in ("literal_error", "enum"):
        # pydantic writes them as 'a', 'b' or 'c'.
        return re.sub(r"(.*) or ", r"\1, ", str(context["expected"])).replace("'", "")
    if kind == "union_tag_invalid":
        return str(context["expected_tags"]).replace("'", "")
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return f"{words} {context[key]}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
    if kind in ("string_too_short", "too_short"):
        what = "character" if kind == "string_too_short" else "entry"
        least = context["min_length"]
        return f"at least {least} {what if least == 1 else 'entries' if what == 'entry' else 'characters'}"
    if kind in ("string_too_long", "too_long"):
        return f"at most {context['max_length']} {'characters' if kind == 'string_too_long' else 'entries'}"
    return None


def _is_type_mismatch(error: ErrorDetails) -> bool:
    return error["type"] in _TYPES or error["type"] in ("literal_error", "enum")


def _message(error: ErrorDetails, where: str, value: Any, allowed: str | None) -> str:
    if allowed is None:
        text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        text = text.replace("Input should be", "allowed:")
        return f"{where}: {one_line(text)}" if error["type"] == "value_error" else f"{where} is {found(value)}; {text}"
    if error["type"] in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return f"{where} has {len(value)}; allowed: {allowed}"
    names = allowed.split(", ") if error["type"] in ("literal_error", "union_tag_invalid") else []
    if error["type"] == "string_type" and isinstance(value, int | float):
        allowed += ", so put it in quotes"
    return f"{where} is {found(value)}; allowed: {allowed}{suggestion(value, names) if names else ''}"


def _as_entry(models: Sequence[type[BaseModel]], value: Any) -> str:
    """`` such as {min: 0.95}`` for a bare value that one key of the mapping it should be takes."""
    # A longer one would fill the line.
    if isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) <= 60:
        for model in models:
            for key in field_names(model):
                if _takes(model, key, value):
                    return f" such as {{{key}: {_written(value)}}}"
    return ""


def _takes(model: type[BaseModel], key: str, value: Any) -> bool:
    try:
        model.model_validate({key: value})
    except ValidationError as error:
        # Other keys may be missing: the entry is an example, which the reader completes.
        return all(details["type"] == "missing" and details["loc"][0] != key for details in error.errors())
    except Exception:  # a plugin's own validators can raise anything, and this is a mere hint
        return False
    return True


def _written(value: Any) -> str:
    is_plain = not isinstance(value, str) or (re.fullmatch(r"[\w./][\w./ -]*", value) and is_plain_text(value))
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


def _single(
    located: Located,
    model: type[BaseModel],
    place: Callable[[Path], Path],
    reserved: Sequence[str],
    whole: str,
    *,
    suggest: bool,
) -> SchemaMistake:
    error, path = located.error, located.path
    full = place(path)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        key = str(error["ctx"]["discriminator"]).strip("'")
        path, full = (*path, key), (*full, key)
        if key not in error["input"]:
            return SchemaMistake(full, f"missing key {key!r}; {dotted(full[:-1])} requires it", "missing")
        return SchemaMistake(full, _message(error, dotted(full), error["input"][key], _allowed(error)), "value")
    if error["type"] == "missing":
        parent = dotted(full[:-1], whole=whole)
        return SchemaMistake(full, f"missing key {str(path[-1])!r}; {parent} requires it", "missing")
    if error["type"] == "extra_forbidden" and not suggest:
        return SchemaMistake(
            full, f"unknown key {quoted(str(path[-1]))} in {dotted(full[:-1], whole=whole)}", "unknown key"
        )
    if error["type"] == "extra_forbidden":
        models = models_at(model, path[:-1])
        names = [*(reserved if len(path) == 1 else ()), *dict.fromkeys(n for m in models for n in field_names(m))]
        message = f"unknown key {quoted(str(path[-1]))} in {dotted(full[:-1], whole=whole)}; allowed: {listed(names)}"
        meant = meant_by(path[-1], names) if suggest else ()
        return SchemaMistake(full, message + did_you_mean(*meant), "unknown key", next(iter(meant), None))
    allowed = _allowed(error)
    if error["type"] in ("model_type", "model_attributes_type"):
        allowed = f"{allowed}{_as_entry(models_at(model, path), error['input'])}"
    return SchemaMistake(full, _message(error, dotted(full, whole=whole), error["input"], allowed), "value")


def _wrong_key(
    details: ErrorDetails, model: type[BaseModel], data: Any, place: Callable[[Path], Path], *, suggest: bool
) -> SchemaMistake:
    """A mapping's key that is none of those it may have; pydantic's location ends in the key and ``[key]``."""
    path = locate({**details, "loc": details["loc"][:-1]}, model, data).path
    full, allowed = place(path), _allowed(details) or "other keys"
    names = allowed.split(", ") if details["type"] in ("literal_error", "enum") else []
    message = f"unknown key {quoted(str(path[-1]))} in {dotted(full[:-1])}; allowed: {allowed}"
    meant = meant_by(path[-1], names) if suggest else ()
    return SchemaMistake(full, message + did_you_mean(*meant), "unknown key", next(iter(meant), None))


def _union(branches: dict[str, list[Located]], union: Path, path: Path) -> list[Located] | SchemaMistake:
    """The errors of the one branch that was meant, or one mistake naming what all branches allow."""
    meant = [
        errors
        for errors in branches.values()
        if not any(error.path == union and _is_type_mismatch(error.error) for error in errors)
    ]
    if meant:
        # Of several branches that take this type, the one with the fewest mistakes was meant most likely.
        return min(meant, key=len)
    errors = [error for members in branches.values() for error in members]
    words = list(dict.fromkeys(_allowed(error.error) or "" for error in errors if error.path == union))
    value = next(error.error["input"] for error in errors if error.path == union)
    literals = [_allowed(error.error) or "" for error in errors if error.error["type"] == "literal_error"]
    names = [name for literal in literals for name in literal.split(", ")]
    hint = suggestion(value, names) if isinstance(value, str) else ""
    # A number where only text fits was meant as text: YAML reads it as a number for want of quotes.
    if isinstance(value, int | float) and not any("number" in word for word in words):
        words = ["text in quotes" if word == "text" else word for word in words]
    expected = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    return SchemaMistake(path, f"{dotted(path)} is {found(value)}; allowed: {expected}{hint}", "value")


def schema_mistakes(
    error: ValidationError,
    *,
    model: type[BaseModel],
    data: Any,
    place: Callable[[Path], Path],
    reserved: Sequence[str] = (),
    whole: str = "the file",
) -> list[SchemaMistake]:
    """Put pydantic's errors into words.

    :param model: what was validated.
    :param data: the plain data that was validated.
    :param place: from a path in ``data`` to the path in the document.
    :param reserved: keys allowed at the top beside the model's own.
    :param whole: what the document is called.
    """
    mistakes: list[SchemaMistake] = []
    unions: dict[Path, dict[str, list[Located]]] = {}
    # pydantic's web addresses would only lengthen the lines.
    for details in error.errors(include_url=False):
        if details["loc"][-1:] == ("[key]",):
            mistakes.append(_wrong_key(details, model, data, place, suggest=len(mistakes) < MAX_LINES))
            continue
        located = locate(details, model, data)
        if located.union is None:
            suggest = len(mistakes) < MAX_LINES
            mistakes.append(_single(located, model, place, reserved, whole, suggest=suggest))
        else:
            unions.setdefault(located.union, {}).setdefault(located.branch, []).append(located)
    for union, branches in unions.items():
        chosen = next(iter(branches.values())) if len(branches) == 1 else _union(branches, union, place(union))
        if isinstance(chosen, SchemaMistake):
            mistakes.append(chosen)
        else:
            suggest = len(mistakes) < MAX_LINES
            mistakes += [_single(each, model, place, reserved, whole, suggest=suggest) for each in chosen]
    # A mistyped key is both unknown and missing; that it is unknown, with the right one proposed, says it all.
    proposed = {(*m.path[:-1], m.proposal) for m in mistakes if m.proposal}
    return [m._replace(silent=True) if m.kind == "missing" and m.path in proposed else m for m in mistakes]
