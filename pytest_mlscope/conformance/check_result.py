"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "fault", "not applicable", "not checked"]


@dataclass(frozen=True)
class CheckResult:
    """One named check's result."""

    name: str
    """The check, as the table and the documentation name it."""
    status: Status
    reason: str
    """One line: what was seen, what is wrong and what would be right, or why there is nothing to check."""


class Fault(Exception):  # noqa: N818  # what a check finds, not what goes wrong with it
    """The predictor breaks a promise; the message says how, in one line."""


class NotApplicable(Exception):  # noqa: N818  # likewise
    """There is nothing to check; the message says why, in one line."""
