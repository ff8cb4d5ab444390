"""How a field of a record is described, beside its type: its unit, its limits, and whether it is derived from others.

A field's text is the string below it. JSON, its schema and the documentation's tables are all made of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Unit:
    """What a number counts: ``s``, ``B``, ``ns``, ``dB``, ``1/s``."""

    name: str


@dataclass(frozen=True)
class Least:
    """The smallest number allowed; with ``above``, the number that all are above."""

    value: float
    above: bool = False


@dataclass(frozen=True)
class Pattern:
    """The regular expression that a text matches."""

    expression: str


@dataclass(frozen=True)
class Format:
    """A format of JSON Schema that a text has."""

    name: str


class Mark(Enum):
    """What else JSON is to know."""

    FINITE = "a number that is never NaN or infinite, so never null"
    PACKED = "a list of equally long lists of numbers, which travels between processes as an array"
    OMISSIBLE = "an array of rows that is null where they hold nothing, such as where they were too large to keep"


Finite = Annotated[float, Mark.FINITE]
Seconds = Annotated[float, Unit("s")]
FiniteSeconds = Annotated[float, Unit("s"), Mark.FINITE]
Rate = Annotated[float, Unit("1/s")]
FiniteRate = Annotated[float, Unit("1/s"), Mark.FINITE]
Bytes = Annotated[int, Unit("B"), Least(0)]
Count = Annotated[int, Least(0)]
Positive = Annotated[int, Least(1)]
DateTime = Annotated[str, Format("date-time")]
Sha256 = Annotated[str, Pattern("^[0-9a-f]{64}$")]


def derived(function: F) -> F:
    """Make a property a field that is written, and not read back.

    >>> class Side:
    ...     @property
    ...     @derived
    ...     def area(self) -> float:
    ...         return 4.0
    >>> is_derived(Side.area)
    True
    """
    # On the function: a property takes no attributes of its own.
    function.__dict__["is_derived"] = True
    return function


def is_derived(attribute: object) -> bool:
    """Whether a class's attribute is a property that :func:`derived` marks."""
    return isinstance(attribute, property) and bool(vars(attribute.fget).get("is_derived"))
