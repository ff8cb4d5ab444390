"""What a plugin's kind of measurement gave, as records keep it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_mlscope.components import Measurement, raised
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.expectations import Check
from pytest_mlscope.measurements import Context, Evaluation, OtherMeasurement
from pytest_mlscope.records import plain

_OWN = frozenset(field.name for field in dataclasses.fields(Evaluation))
"""Kinds of the package, which have fields of their own."""


_OF_CHECKS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "measured": (int, float, np.number, types.NoneType),
    "bound": (str,),
    "passed": (bool, np.bool_),
    "message": (str,),
}
"""Of what type each field of a check must be."""


def evaluated(measurement: Measurement, context: Context) -> Any:
    """The result of a kind of measurement, made once for each case.

    :raises MlscopeError: when the case fails, or a plugin's measurement raises or returns what it
        should not.
    """
    if measurement.name in _OWN:
        return measurement.evaluate(context)

    def evaluate() -> Any:
        try:
            result = measurement.evaluate(context)
        except MlscopeError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's code can raise anything
            raise MlscopeError(f"{measurement.name}: evaluate {raised(error)}") from error
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
    bounds = plan.manifest.bounds.get(measurement.name)
    try:
        checks: object = list(measurement.check(result, bounds, plan))
    except MlscopeError:
        raise
    except (Exception, SystemExit) as error:
        raise MlscopeError(f"{measurement.name}: check {raised(error)}") from error
    assert isinstance(checks, list)
    for check in checks:
        if not isinstance(check, Check):
            raise MlscopeError(f"{measurement.name}: check returned {check!r:.80}; expected Checks")
        for name, value in vars(check).items():
            # A text that is true would count as passed.
            if not isinstance(value, _OF_CHECKS[name]) or (name == "measured" and isinstance(value, bool)):
                raise MlscopeError(f"{measurement.name}: check returned a Check whose {name} is {value!r:.80}")
    return checks
