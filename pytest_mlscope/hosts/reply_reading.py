"""How a predictor host's reply is read: see ``docs/host-protocol.md``.

A host runs code of others, in an interpreter of others. A reply that lacks something, or holds another type, would be a
traceback far from its cause, or a wrong number. So each is checked once, where it arrives.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from numpy.typing import NDArray
from pydantic import NonNegativeInt, PlainValidator, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Tensors = dict[str, NDArray[Any]]
Count = Annotated[NonNegativeInt, Strict()]
Number = Annotated[float, Strict()]
Arrays = Annotated[Tensors, PlainValidator(lambda arrays: arrays)]
"""Read from the arena already."""

R = TypeVar("R")


class Malformed(Exception):  # noqa: N818  # says what the reply is, and becomes an UnreadableReply
    """A reply is not as the protocol says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HasLists:
    """A reply whose tensors are lists of whole numbers, int64 of shape ``(n,)``, among others perhaps."""

    lists: ClassVar[tuple[str, ...]]
    """Their names."""

    tensors: Arrays


# Building an adapter takes much longer than validating with it.
@functools.cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_reply(kind: type[R], reply: Mapping[str, Any]) -> R:
    """A reply as what it should be.

    :param reply: the header, with arrays by name for its ``tensors``.
    :raises Malformed: when it lacks something or holds another type.

    >>> from pytest_mlscope.hosts.replies import Unloaded
    >>> read_reply(Unloaded, {"resident": 4096})
    Unloaded(resident=4096)
    >>> read_reply(Unloaded, {"resident": "much"})
    Traceback (most recent call last):
    pytest_mlscope.hosts.reply_reading.Malformed: its 'resident' is not as the protocol says
    """
    try:
        read: R = _adapter(kind).validate_python(dict(reply))  # type: ignore[arg-type]  # mypy: a class is unhashable
    except ValidationError as error:
        # Without the input: a reply may be megabytes, and nobody reads more than its first mistake.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if not first["loc"]:
            raise Malformed(f"it is not as the protocol says: {first['msg']}") from None
        if first["type"] == "missing" and len(first["loc"]) == 1:
            raise Malformed(f"it has no {first['loc'][0]!r}") from None
        raise Malformed(f"its {first['loc'][0]!r} is not as the protocol says") from None
    if isinstance(read, HasLists):
        for name in read.lists:
            array = read.tensors.get(name)
            if array is None:
                raise Malformed(f"it has no tensor {name!r}")
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise Malformed(f"its tensor {name!r} is not a list of whole numbers")
    return read


def wrong_error(error: Any) -> str | None:
    """What is wrong with a reply's ``error``; ``None`` when it can be read."""
    if (
        not isinstance(error, dict)
        or not isinstance(error.get("kind"), str)
        or not isinstance(error.get("message"), str)
    ):
        return "its 'error' is not a JSON object with a kind and a message"
    if error["kind"] not in ("unsupported", "exception"):
        return f"its error is of the kind {error['kind']!r:.40}; allowed: unsupported, exception"
    if not isinstance(error.get("traceback"), str | None):
        return "its error's traceback is not text"
    return None
