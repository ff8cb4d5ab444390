"""Builtin types only: what execnet carries between workers and what strict JSON can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
from pydantic import BaseModel

from pytest_mlscope.errors import MlscopeError


def plain_text(value: str) -> str:
    """Text that UTF-8 can encode: lone surrogates, as in undecodable file names, become ``\\udc80``."""
    return str.__str__(value).encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any, *, at: str, not_finite: dict[str, str]) -> Any:
    """Convert to exactly ``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` or ``dict``.

    JSON has no NaN and no infinity: they become ``None``, and ``not_finite`` gains ``nan``, ``inf`` or ``-inf`` under
    the value's place.

    :param at: the value's JSON Pointer (RFC 6901), ``""`` for the whole.
    :raises MlscopeError: for a type that has no JSON form; the message names the place.

    >>> not_finite = {}
    >>> plain({"scores": (1, float("nan"))}, at="", not_finite=not_finite), not_finite
    ({'scores': [1, None]}, {'/scores/1': 'nan'})
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    # Before text and numbers, since members of an Enum can be both.
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return plain_text(value)
    # execnet goes by the exact type, and refuses subclasses.
    if isinstance(value, int):
        # Readers of JSON, and Python's own conversion to text, stop somewhere beyond.
        if value.bit_length() > 64:
            raise MlscopeError(f"{at or 'the record'}: an integer of more than 64 bits cannot be reported")
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        not_finite[at] = repr(float(value))
        return None
    if isinstance(value, PurePath):
        return plain_text(str(value))
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        value = value.model_dump()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        items = {
            plain_text(str(key)): plain(item, at=f"{at}/{pointer_token(str(key))}", not_finite=not_finite)
            for key, item in value.items()
        }
        if len(items) < len(value):
            raise MlscopeError(f"{at or 'the record'}: two keys are the same as text; a report would hold one of them")
        return items
    if isinstance(value, Set):
        # The order of a set changes from process to process, and equal results must give equal reports.
        value = sorted(value, key=repr)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item, at=f"{at}/{index}", not_finite=not_finite) for index, item in enumerate(value)]
    raise MlscopeError(
        f"{at or 'the record'}: the type {type(value).__name__} cannot be reported; give numbers, text, lists or "
        "mappings"
    )


def pointer_token(key: str) -> str:
    """A key as a JSON Pointer writes it.

    >>> pointer_token("a/b~c")
    'a~1b~0c'
    """
    return plain_text(key).replace("~", "~0").replace("/", "~1")
