"""What became of a case compared with its baseline: several verdicts make one, in words and in builtin types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from pytest_mlscope.errors import CannotRun, MlscopeError
from pytest_mlscope.gate.policy import Policy
from pytest_mlscope.manifest import GatedQuantity
from pytest_mlscope.records import (
    ComparedOutcome,
    Comparison,
    Outcome,
    Ruling,
)

_WORST_FIRST: tuple[ComparedOutcome, ...] = get_args(ComparedOutcome)


@dataclass(frozen=True)
class Line:
    """What is said of one quantity."""

    outcome: ComparedOutcome
    text: str
    rulings: Sequence[Ruling] = ()


def worst_of(against: str, lines: Sequence[Line], rulings: Sequence[Ruling] = ()) -> Comparison:
    """The worst of several verdicts first: where a test fails, its short summary has the first line alone."""
    worst_first = sorted(lines, key=lambda line: _WORST_FIRST.index(line.outcome))
    rulings = (*rulings, *(ruling for line in worst_first for ruling in line.rulings))
    ended = dict.fromkeys(ruling.text for ruling in rulings if ruling.kind == "ended")
    messages = (*(line.text for line in worst_first), *ended)
    return Comparison(against, worst_first[0].outcome, messages, rulings=rulings)


def ruled(
    policy: Policy,
    quantity: GatedQuantity,
    outcome: Outcome,
    text: str,
    *,
    size: float | None = None,
    metric: str | None = None,
) -> Line:
    """A verdict under the manifest's policy; what that changes is said after it."""
    result, rulings = policy.ruled(quantity, outcome, size=size, metric=metric)
    said = [ruling.text for ruling in rulings if ruling.kind in ("accepted", "exceeded", "warned")]
    return Line(result, "; ".join([text, *said]), rulings)


def ignored(against: str, *rulings: Ruling) -> Comparison:
    """Of quantities that the manifest's gate ignores."""
    return Comparison(against, "ignored", tuple(ruling.text for ruling in rulings), rulings=rulings)


def not_compared(against: str, reason: str, *, is_new: bool = False, command: str | None = None) -> Comparison:
    """For a case without a counterpart, or one whose counterpart fails.

    :param command: what would make it comparable, where something would.
    """
    message = f"not compared with {against}: {reason}"
    return Comparison(against, "not compared", (message,), is_new=is_new, command=command)


def why_and_command(error: MlscopeError) -> tuple[str, str | None]:
    """Why something went wrong, and the command that would help, apart where they can be.

    >>> why_and_command(CannotRun("not installed here", subject="pytorch", command="mlscope env create pytorch"))
    ('pytorch: not installed here', 'mlscope env create pytorch')
    """
    if isinstance(error, CannotRun) and error.command:
        return error.reason, error.command
    return str(error), None


def cannot_run_any_more(against: str, error: CannotRun, *, regression: bool) -> Comparison:
    """For a case that cannot run, whose counterpart can."""
    reason, command = why_and_command(error)
    if regression:
        message = f"cannot run any more, unlike {against}: {reason}"
        return Comparison(against, "regression", (message,), command=command)
    return not_compared(against, f"cannot run here any more: {reason}", command=command)
