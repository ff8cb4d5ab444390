"""Values of options: limits, defaults, and parsers of numbers. Imported in every pytest run: nothing heavy here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "framework_default")
"""In the order of tables."""
DEFAULT_TIMEOUT = 600.0
"""Seconds a case may take in its predictor host."""
MOST_RESTARTS = 1000

StrictPart = Literal["cannot-run", "new", "inconclusive", "not-compared"]
"""What ``--mlscope-strict`` turns into failures: cases that cannot run here, cases that the baseline lacks, comparisons
without a verdict, and comparisons that could not be made."""
STRICT_PARTS: tuple[StrictPart, ...] = get_args(StrictPart)
ALL_PARTS = "all"


def _number(text: str) -> float:
    """``nan``, which no bound allows, where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def whole_number(*, least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers within bounds, these included.

    >>> whole_number(most=16)("4")
    4
    """
    allowed = f"from {least} on" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {allowed}")
        return number

    return parse


def positive_number(unit: str = "") -> Callable[[str], float]:
    """A parser of finite numbers above 0."""
    what = f"a positive number of {unit}" if unit else "a positive number"

    def parse(text: str) -> float:
        number = _number(text)
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return number

    return parse


def user_path(text: str) -> Path:
    """A path with ``~`` at its beginning replaced by a home folder: a shell leaves it where it stands after ``=``."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: there is no home folder for '~'; write the path without it"
        ) from None


def percentage(*, most: float) -> Callable[[str], float]:
    """A parser of percentages above 0, with or without the sign, as fractions.

    >>> percentage(most=100)("5%")
    0.05
    """

    def parse(text: str) -> float:
        percent = _number(text.rstrip("% "))
        if not 0 < percent <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a percentage above 0 and at most {most:g}")
        return percent / 100

    return parse
