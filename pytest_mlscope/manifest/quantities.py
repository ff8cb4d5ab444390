"""Quantities a manifest writes as text: durations, memory sizes, percentages, days and lists of CPUs."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ByteSize, TypeAdapter, WithJsonSchema

from pytest_mlscope.components import CPU_LIST, MOST_CHARACTERS, parse_cpu_list

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_MEMORY = r"\d+(\.\d+)?\s*(B|[kMGT]B|[KMGT]iB)"
_MEMORY_UNITS = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"
_SIZE = TypeAdapter(ByteSize)
_NUMBER = r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"


def _not_a_quantity(value: Any, units: str, example: str) -> ValueError:
    return ValueError(f"{value!r:.80} is not a number with a unit; allowed units: {units}, as in {example}")


def parse_duration(value: Any) -> float:
    """Seconds from text such as ``5 ms``. :raises ValueError: for anything else.

    >>> parse_duration("5 ms")
    0.005
    """
    match = re.fullmatch(rf"{_NUMBER}\s*(?P<unit>\S+)", value) if isinstance(value, str) else None
    if match is None or match["unit"] not in _SECONDS:
        raise _not_a_quantity(value, ", ".join(_SECONDS), "5 ms")
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{value!r:.80} must be more than zero and finite")
    return seconds


def parse_memory(value: Any) -> int:
    """Bytes from text such as ``200 MB``. :raises ValueError: for anything else.

    >>> parse_memory("200 MB"), parse_memory("1 KiB")
    (200000000, 1024)
    """
    # pydantic alone takes bits, and numbers without a unit, too.
    if not isinstance(value, str) or not re.fullmatch(_MEMORY, value):
        raise _not_a_quantity(value, _MEMORY_UNITS, "200 MB")
    try:
        size = int(_SIZE.validate_python(value))
    except (ValueError, OverflowError):
        size = 0
    if not size:
        raise ValueError(f"{value!r:.80} must be more than zero and finite")
    return size


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": rf"^{_NUMBER.replace('?P<number>', '')}\s*(ns|us|µs|ms|s|min)$"}),
]
"""Seconds; written as ``5 ms``."""

MemorySize = Annotated[
    int,
    BeforeValidator(parse_memory),
    WithJsonSchema({"type": "string", "pattern": f"^{_MEMORY}$"}),
]
"""Bytes; written as ``200 MB``."""


def parse_percentage(value: Any) -> float:
    """A fraction from text such as ``0.5 %``. :raises ValueError: for anything else, or more than 100 %.

    >>> parse_percentage("0.5 %")
    0.005
    """
    match = re.fullmatch(rf"{_NUMBER}\s*%", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r:.80} is not a percentage; expected a number and the sign, as in 5%")
    if float(match["number"]) > 100:
        raise ValueError(f"{value!r:.80} is more than 100%")
    return float(match["number"]) / 100


def _positive_percentage(value: Any) -> float:
    fraction = parse_percentage(value)
    if fraction == 0:
        raise ValueError(f"{value!r:.80} must be more than zero")
    return fraction


_PERCENTAGE = WithJsonSchema({"type": "string", "pattern": rf"^{_NUMBER.replace('?P<number>', '')}\s*%$"})
Percentage = Annotated[float, BeforeValidator(parse_percentage), _PERCENTAGE]
"""A fraction from 0 to 1; written as ``0.5 %``."""
PositivePercentage = Annotated[float, BeforeValidator(_positive_percentage), _PERCENTAGE]
"""The same, above 0."""


def parse_day(value: Any) -> datetime.date:
    """A day from text such as ``2027-01-31``. :raises ValueError: for anything else."""
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            return datetime.date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{value!r:.80} is not a day: {error}") from None
    raise ValueError(f"{value!r:.80} is not a day; expected YEAR-MONTH-DAY, as in 2027-01-31")


Day = Annotated[
    datetime.date,
    BeforeValidator(parse_day),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
]
"""A day; written as ``2027-01-31``."""


def _cpu_list(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'{value!r:.80} is not a list of CPUs; expected text, such as "0-3,6"')
    parse_cpu_list(value)
    return value


CpuList = Annotated[
    str,
    BeforeValidator(_cpu_list),
    WithJsonSchema({"type": "string", "pattern": f"^{CPU_LIST}$", "maxLength": MOST_CHARACTERS}),
]
"""CPU numbers; written as ``"0-3,6"``."""
