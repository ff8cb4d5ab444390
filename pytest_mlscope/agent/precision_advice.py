"""What predictors advise about a file that holds another precision than was asked for."""

from __future__ import annotations

from pytest_mlscope.errors import CannotRun

_ADVICE = "; ask for "


def without_precision_advice(error: CannotRun) -> str | None:
    """The reason less the advice to ask for the precision that the file holds; ``None`` where it has no such advice.

    Where the precision was not the user's choice, that advice leads nowhere.
    """
    reason, advice, _ = error.reason.rpartition(_ADVICE)
    return reason if advice else None
