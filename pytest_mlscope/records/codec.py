"""Records to JSON and back, by their classes alone.

JSON has no NaN and no infinity: such a number is ``None``, and ``not_finite`` says what stood there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, is_typeddict

import numpy as np

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.record_fields import Mark
from pytest_mlscope.records.fields import fields_of, parsed
from pytest_mlscope.records.packed import is_packed, listed, pack, unpack
from pytest_mlscope.records.plain_values import plain, plain_text, pointer_token

T = TypeVar("T")

NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false", dict: "an object", list: "a list"}

ODD = ("nan", "inf", "-inf")


class MalformedRecord(MlscopeError):  # noqa: N818  # says what was found, as the reports do
    """What is read is not as it was written. ``at`` is the JSON Pointer (RFC 6901) of the place."""

    def __init__(self, at: str, what: str) -> None:
        self.at = at
        self.what = what
        super().__init__(f"{at or '/'}: {what}")


def encode(value: Any, hint: Any, *, at: str, not_finite: dict[str, str], packed: bool) -> Any:
    """Exactly ``None``, ``bool``, ``int``, finite ``float``, ``str``, ``list`` and ``dict``.

    :param hint: the value's type.
    :param at: its JSON Pointer.
    :param packed: whether arrays are short text, to travel, and not lists, to be read.
    :raises MlscopeError: for what has no JSON form; the message names the place.
    """
    if value is None:
        return None
    kind, marks, _, _ = parsed(hint)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: encode(
                getattr(value, field.name), field.hint, at=f"{at}/{field.name}", not_finite=not_finite, packed=packed
            )
            for field in fields_of(type(value))
        }
    if Mark.PACKED in marks or get_origin(kind) is np.ndarray:
        array = np.asarray(value, dtype=np.float64 if Mark.PACKED in marks else None)
        if Mark.OMISSIBLE in marks and array.ndim > 1 and not array.size:
            return None
        return (pack if packed else listed)(array, at=at, not_finite=not_finite)
    if isinstance(value, Mapping) and get_origin(kind) is AbstractMapping:
        element = get_args(kind)[1]
        return {
            plain_text(str(key)): encode(
                item, element, at=f"{at}/{pointer_token(str(key))}", not_finite=not_finite, packed=packed
            )
            for key, item in value.items()
        }
    if get_origin(kind) in (AbstractSequence, tuple, list):
        return [
            encode(item, _element(kind, place), at=f"{at}/{place}", not_finite=not_finite, packed=packed)
            for place, item in enumerate(value)
        ]
    return plain(value, at=at, not_finite=not_finite)


def _element(kind: Any, place: int) -> Any:
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments[-1] is not Ellipsis:
        return arguments[place]
    return arguments[0]


def decode(cls: type[T], value: Any, *, at: str, not_finite: Mapping[str, str]) -> T:
    """A record of this class. Keys that it does not know are passed over: a later release may have added them.

    :raises MalformedRecord: where something lacks or is of another type.
    """
    return _Decoder(not_finite).record(cls, value, at)


class _Decoder:
    def __init__(self, not_finite: Mapping[str, str]) -> None:
        self._not_finite = not_finite

    def record(self, cls: type[T], value: Any, at: str) -> T:
        _expect(dict, value, at)
        given = {}
        for field in fields_of(cls):
            if field.derived:
                continue
            if field.name in value:
                place = f"{at}/{pointer_token(field.name)}"
                given[field.name] = self.value(field.hint, value[field.name], place)
            elif not field.optional:
                raise MalformedRecord(at, f"lacks {field.name}")
        return cls(**given)

    def value(self, hint: Any, value: Any, at: str) -> Any:
        kind, marks, nullable, choices = parsed(hint)
        if value is None:
            return self._nothing(kind, marks, nullable, at)
        if len(choices) > 1:
            return self._one_of(choices, value, at)
        if kind is Any or is_typeddict(kind):
            # Open to keys of later releases, so it is looked into where it is read.
            return self._restored(value if kind is Any else _expect(dict, value, at), at)
        if dataclasses.is_dataclass(kind):
            return self.record(cast(type[Any], kind), value, at)
        origin = get_origin(kind)
        if origin is np.ndarray or Mark.PACKED in marks:
            array = _array(kind, value, at)
            return array if origin is np.ndarray else self._sequence(kind, array.tolist(), at)
        if origin is AbstractMapping:
            _expect(dict, value, at)
            element = get_args(kind)[1]
            return {key: self.value(element, item, f"{at}/{pointer_token(key)}") for key, item in value.items()}
        if origin in (AbstractSequence, tuple, list):
            return self._sequence(kind, value, at)
        if origin is Literal:
            if value not in get_args(kind):
                raise MalformedRecord(at, f"{value!r} is none of {', '.join(map(str, get_args(kind)))}")
            return value
        return float(_expect(float, value, at)) if kind is float else _expect(kind, value, at)

    def _nothing(self, kind: Any, marks: tuple[Any, ...], nullable: bool, at: str) -> Any:
        odd = self._not_finite.get(at)
        if kind in (float, Any) and odd in ODD:
            return float(odd)
        if Mark.OMISSIBLE in marks:
            return np.empty((0, 0))
        if nullable or kind is Any:
            return None
        raise MalformedRecord(at, "is null")

    def _restored(self, value: Any, at: str) -> Any:
        """With the numbers that JSON cannot hold."""
        if value is None:
            odd = self._not_finite.get(at)
            return float(odd) if odd in ODD else None
        if isinstance(value, list) and any(place.startswith(at) for place in self._not_finite):
            return [self._restored(item, f"{at}/{index}") for index, item in enumerate(value)]
        if isinstance(value, dict) and any(place.startswith(at) for place in self._not_finite):
            return {key: self._restored(item, f"{at}/{pointer_token(key)}") for key, item in value.items()}
        return value

    def _one_of(self, choices: tuple[Any, ...], value: Any, at: str) -> Any:
        trouble: MalformedRecord | None = None
        for choice in choices:
            try:
                return self.value(choice, value, at)
            except MalformedRecord as error:
                trouble = error
        raise trouble or MalformedRecord(at, "is of another type")

    def _sequence(self, kind: Any, value: Any, at: str) -> tuple[Any, ...]:
        _expect(list, value, at)
        arguments = get_args(kind)
        if get_origin(kind) is tuple and arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise MalformedRecord(at, f"has {len(value)} elements, not {len(arguments)}")
        return tuple(self.value(_element(kind, place), item, f"{at}/{place}") for place, item in enumerate(value))


def _expect(kind: type, value: Any, at: str) -> Any:
    # A bool is an int to Python, but not to JSON.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number if kind is float else isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits:
        raise MalformedRecord(at, f"expected {NAMES.get(kind, kind.__name__)}, found {_name(value)}")
    return value


def _name(value: object) -> str:
    return "null" if value is None else NAMES.get(type(value), type(value).__name__)


def _array(kind: Any, value: Any, at: str) -> Any:
    if is_packed(value):
        try:
            array = unpack(value)
        except ValueError as error:
            raise MalformedRecord(at, str(error)) from None
    else:
        array = _from_lists(_expect(list, value, at))
    wanted = get_args(get_args(kind)[1])[0] if get_origin(kind) is np.ndarray else Any
    if wanted is Any or array.dtype == wanted:
        return array
    if array.size and array.dtype.kind not in "iub" and np.issubdtype(wanted, np.integer):
        raise MalformedRecord(at, "expected a list of integers")
    try:
        return array.astype(wanted)
    except (ValueError, TypeError):
        raise MalformedRecord(at, "expected a list of numbers") from None


def _from_lists(values: Sequence[Any]) -> Any:
    """Nulls among numbers are NaN; rows of different lengths are a column of objects."""
    try:
        array = np.array(values)
        # A float holds every integer up to 2**53; beyond that, digits may be lost.
        if array.dtype.kind == "f" and np.abs(array).max(initial=0) > 2**53:
            array = _whole(values, array)
        if array.dtype.kind == "O" and any(each is None for each in array.flat):
            array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.empty(len(values), dtype=object)
        array[:] = values
    return array


def _whole(values: Sequence[Any], rounded: Any) -> Any:
    """Integers that numpy took for floats, since no signed type holds them all; other numbers as they are."""
    exact = np.array(values, dtype=object)
    if not all(type(each) is int for each in exact.flat):
        return rounded
    return exact.astype(np.uint64) if min(exact.flat) >= 0 else exact
