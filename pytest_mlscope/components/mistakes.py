"""What someone's hook or component did wrong, in one line for its author."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.components.measurement import Measurement
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.components.scenario import Scenario
from pytest_mlscope.errors import MlscopeError

HOOK_PREFIX = "pytest_mlscope_"


def raised(error: BaseException) -> str:
    """``raised OSError: no such disk (conftest.py:7)``: the place stands in for the traceback that is not shown."""
    said = " ".join(str(error).split())
    kind = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {kind}: {said}{where}" if said else f"raised {kind}{where}"


def _says_what_or_none(answer: Any) -> bool:
    # Empty text would mean "nothing lacks" to one reader and "something does" to another.
    return answer is None or (isinstance(answer, str) and answer != "")


def _is_yes_or_no(answer: Any) -> bool:
    return isinstance(answer, bool | np.bool_)


def _is_a_number_of_rows(answer: Any) -> bool:
    return isinstance(answer, int | np.integer) and bool(answer >= 1)


def _is_a_setting_and_seconds(answer: Any) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2


def _are_several(answer: Any) -> bool:
    return isinstance(answer, Iterable)


_ANSWERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lacking": ("text that says what is lacking, or None", _says_what_or_none),
    "takes": ("True or False", _is_yes_or_no),
    "only_compares": ("True or False", _is_yes_or_no),
    "incomparable": ("text that says why, or None", _says_what_or_none),
    "pace": ("a setting and seconds", _is_a_setting_and_seconds),
    "checks": ("Checks", _are_several),
    "rows": ("a number of rows, 1 or more", _is_a_number_of_rows),
}
"""By method, what it must return, in words and as a test. Other results are checked where they are read."""


def asked(component: Measurement | Scenario, method: str, *arguments: Any, **named: Any) -> Any:
    """What a method of a kind of measurement or a scenario returns, which may be a plugin's.

    :raises MlscopeError: when it raises, ``sys.exit`` included, or returns something of another type: one line with the
        method.
    """
    what = component.name if isinstance(component, Measurement) else f"scenario {component.name}"
    try:
        answer = getattr(component, method)(*arguments, **named)
        if isinstance(answer, Generator):
            answer = list(answer)  # what it raises, it raises when it is read
    except MlscopeError:
        raise
    # SystemExit is no Exception, and a plugin may call sys.exit.
    except (Exception, SystemExit) as error:
        raise MlscopeError(f"{what}: {method} {raised(error)}") from error
    expected, fits = _ANSWERS.get(method, ("", None))
    if fits is not None and not fits(answer):
        returned = "empty text" if answer == "" else f"an object of type {type(answer).__name__}"
        if isinstance(answer, int):
            returned = str(answer)[:20]
        raise MlscopeError(f"{what}: {method} returned {returned}; expected {expected}")
    return answer


def raising_hook(error: Exception) -> str:
    """Name of the hook whose implementation raised; of all registering hooks where it cannot be told."""
    # pluggy does not say which implementation raised, and the traceback's frames do.
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return next((name for name in names if name.startswith(HOOK_PREFIX)), f"{HOOK_PREFIX}register_…")


def checked_readings(returned: Any, *, where: str, what: str) -> Sequence[Reading]:
    """Readings that a plugin made.

    :param where: what made them, such as ``profiler psutil``.
    :param what: the method that returned them.

    :raises MlscopeError: when it is not a list of readings, or a reading holds what no report can show.
    """
    if not isinstance(returned, list | tuple) or not all(isinstance(reading, Reading) for reading in returned):
        raise MlscopeError(f"{where}: {what} returned {returned!r}; expected a list of Readings")
    for reading in returned:
        if not isinstance(reading.name, str):
            raise MlscopeError(f"{where}: a reading has the name {reading.name!r}; expected text")
        place = f"{where}: reading {reading.name!r}"
        for field in ("unit", "note"):
            if not isinstance(getattr(reading, field), str):
                raise MlscopeError(f"{place} has the {field} {getattr(reading, field)!r}; expected text")
        # In Python, True is an int.
        number = isinstance(reading.value, int | float | np.integer | np.floating) and not isinstance(
            reading.value, bool
        )
        if reading.value is not None and not number:
            raise MlscopeError(f"{place} has the value {reading.value!r}; expected a number or None")
        try:
            pairs = np.asarray(reading.samples, dtype=np.float64).reshape(-1, 2)
            are_pairs = len(pairs) == len(reading.samples)
        except (TypeError, ValueError):
            are_pairs = False
        if not are_pairs:
            raise MlscopeError(f"{place} has samples that are not (seconds, value) pairs")
    return returned
