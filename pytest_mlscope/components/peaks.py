"""Peaks of a hardware target: the most its vendor says it can do, with the document that says so."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PeakName = Literal["fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "memory_bandwidth"]

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
# Decimal prefixes alone, as vendors use them.
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?) (?P<prefix>[kMGTP]?)(?P<unit>FLOP/s|OP/s|B/s)")


def peak_unit(name: str) -> str:
    """The unit a peak is in: ``FLOP/s`` for floating-point types, ``OP/s`` for integers, ``B/s`` for memory.

    >>> peak_unit("fp16"), peak_unit("int8"), peak_unit("memory_bandwidth")
    ('FLOP/s', 'OP/s', 'B/s')
    """
    if name == "memory_bandwidth":
        return "B/s"
    return "OP/s" if name.startswith("int") else "FLOP/s"


def parse_peak(text: str) -> tuple[float, str]:
    """Amount and unit, the SI prefix worked in.

    >>> parse_peak("312 TFLOP/s")
    (312000000000000.0, 'FLOP/s')

    :raises ValueError: for anything else than a positive number, a space, and a unit.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or not float(match["number"]):
        raise ValueError(f"{text!r} is not a peak such as '312 TFLOP/s', '624 TOP/s' or '1555 GB/s'")
    return float(match["number"]) * _PREFIXES[match["prefix"]], match["unit"]


class PeakSource(BaseModel):
    """The vendor's document that states a peak."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str = Field(min_length=1)
    url: str = Field(pattern=r"^https?://\S+$")


class Peak(BaseModel):
    """One peak, of dense operands and of the fastest units for the type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    value: str
    """Such as ``312 TFLOP/s``."""
    source: PeakSource
    note: str | None = None
    """How it follows from the source, where the source does not state it as it is here."""

    @field_validator("value")
    @classmethod
    def _value(cls, text: str) -> str:
        parse_peak(text)
        return text

    def facts(self) -> dict[str, object]:
        """``value`` as a number, ``unit``, ``source`` and ``note``, for reports."""
        amount, unit = parse_peak(self.value)
        return {"value": amount, "unit": unit, "source": self.source.model_dump(), "note": self.note}
