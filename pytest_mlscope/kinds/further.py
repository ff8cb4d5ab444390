"""What a plugin's kind of measurement gave, as records keep it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_mlscope.components import Check, Measurement, asked
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.measurements import Context, Evaluation, OtherMeasurement
from pytest_mlscope.records import decode, encode, plain

_OWN = frozenset(field.name for field in dataclasses.fields(Evaluation))
"""Kinds of the package, which have fields of their own."""


def evaluated(measurement: Measurement, context: Context) -> Any:
    """The result of a kind of measurement, made once for each case.

    :raises MlscopeError: when the case fails, or a plugin's measurement raises or returns what it
        should not.
    """
    if measurement.name in _OWN:
        return measurement.evaluate(context)

    def evaluate() -> Any:
        result = asked(measurement, "evaluate", context)
        # Called for its errors, before the result is kept for other tests.
        described(measurement, result)
        return result

    return context.evaluator.once(measurement.name, context.plan, evaluate)


def described(measurement: Measurement, result: Any) -> OtherMeasurement:
    """:raises MlscopeError: when it is no dataclass object, or lacks a field that a column shows."""
    if not dataclasses.is_dataclass(result) or isinstance(result, type):
        raise MlscopeError(f"{measurement.name}: evaluate returned {result!r:.80}; expected a dataclass object")
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    for column in measurement.columns:
        if column.field not in values:
            raise MlscopeError(
                f"{measurement.name}: the column {column.title!r} shows the field {column.field!r}, which the result "
                f"does not have; it has: {', '.join(values)}"
            )
    try:
        plain(values, at="", not_finite={})
    except (MlscopeError, RecursionError) as error:
        why = error if isinstance(error, MlscopeError) else "it holds itself"
        raise MlscopeError(f"{measurement.name}: what evaluate returned cannot be reported: {why}") from None
    return OtherMeasurement(values, tuple(measurement.columns))


def checked(measurement: Measurement, evaluation: Evaluation, result: Any) -> Sequence[Check]:
    """What the manifest expects of a result, each as a check.

    :raises MlscopeError: when a plugin's measurement raises, or returns something else than checks.
    """
    plan = evaluation.plan
    checks = asked(measurement, "check", result, plan.bounds(measurement.name), plan)
    if not isinstance(checks, Iterable):
        raise MlscopeError(f"{measurement.name}: check returned {checks!r:.80}; expected Checks")
    return [_reported(measurement, check) for check in checks]


def _reported(measurement: Measurement, check: Any) -> Check:
    """As reports will have it: a text that is true, say, would else count as passed."""
    if not isinstance(check, Check):
        raise MlscopeError(f"{measurement.name}: check returned {check!r:.80}; expected Checks")
    not_finite: dict[str, str] = {}
    try:
        entry = encode(check, Check, at="", not_finite=not_finite, packed=False)
        return decode(Check, entry, at="", not_finite=not_finite)
    except MlscopeError as error:
        raise MlscopeError(f"{measurement.name}: check returned {check!r:.160}: {error}") from None
