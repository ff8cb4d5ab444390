"""What predictors say of a file that holds another precision than was asked for."""

from __future__ import annotations

from typing import NamedTuple

from pytest_mlscope.errors import CannotRun

_ADVICE = "; ask for precision "


class OtherPrecision(NamedTuple):
    """A refusal less its advice to ask for what the file holds, which is no help where the precision is not chosen."""

    reason: str
    held: str | None
    """The precision to ask for; ``None`` where it has no name."""


def other_precision(error: CannotRun) -> OtherPrecision | None:
    """What a refusal says of the file's precision; ``None`` where it is about something else."""
    reason, advice, held = error.reason.rpartition(_ADVICE)
    return OtherPrecision(reason, None if held == "framework_default" else held) if advice else None
