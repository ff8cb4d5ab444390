"""A saved run: a report that ``--mlscope-json`` wrote, read as a baseline."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import Case
from pytest_mlscope.errors import BaselineError, NoCounterpart, NotInBaseline
from pytest_mlscope.manifest import NAMES
from pytest_mlscope.measurements import Accuracy, Latency
from pytest_mlscope.ordinary_files import open_ordinary
from pytest_mlscope.records import FORMAT, CaseRecord, EvaluationRecord, MalformedRecord, from_mapping


@dataclass(frozen=True)
class _Measured:
    """A record of which something can be compared."""

    record: EvaluationRecord
    case: CaseRecord

    @property
    def dimensions(self) -> tuple[object, ...]:
        return _dimensions(self.case)


def _check_row_values(accuracy: Accuracy) -> None:
    """:raises MalformedRecord: where they are not of the rows, or contradict the metric's own value."""
    kept = accuracy.predictions
    rows = None if kept.omitted is not None and not kept.rows.size else len(kept.rows)
    for name, values in accuracy.row_values.items():
        at = f"/accuracy/row_values/{name}"
        if values.ndim != 1 or (rows is not None and len(values) != rows):
            raise MalformedRecord(at, f"it has {len(values)} values for {rows} rows")
        if name not in accuracy.metrics:
            raise MalformedRecord("/accuracy/metrics", f"it lacks {name!r}, which has values of rows")
        # Only of these metrics is it known what the value comes to, with 0 for a row that failed.
        if re.fullmatch(r"top\d+", name):
            value, expected = accuracy.metrics[name].value, float(values.sum()) / max(accuracy.n, 1)
            if not np.isin(values, (0.0, 1.0)).all():
                raise MalformedRecord(at, "expected 0 or 1 for each row")
            if not abs(expected - value) <= 1e-6:
                raise MalformedRecord(
                    f"/accuracy/metrics/{name}/value",
                    f"it is {value:.6g}, but the values of its rows give {expected:.6g}",
                )


_OF_ROWS: Sequence[Callable[[NDArray[np.float64], int], float]] = (
    lambda values, n: float(values.sum()) / max(n, 1),
    lambda values, n: float(values.mean()),
    lambda values, n: math.sqrt(abs(float(values.mean()))),
)
"""What a metric may make of its rows' values: their mean with 0 for rows that failed, without those, and its root."""


def _agrees(accuracy: Accuracy, name: str, of_rows: Callable[[NDArray[np.float64], int], float]) -> bool:
    values = accuracy.row_values[name]
    # Values of both signs may cancel, which leaves the sum's rounding.
    room = 1e-9 * float(np.abs(values).max())
    return bool(np.isclose(accuracy.metrics[name].value, of_rows(values, accuracy.n), rtol=1e-6, atol=room))


def contradiction(saved: Accuracy, now: Accuracy) -> str | None:
    """Which metric of a saved run is not what the values of its rows give, in words; ``None`` for none.

    What a metric makes of them is seen from this run's: a metric that is none of the usual means is not checked.
    """
    for name in saved.row_values.keys() & now.row_values.keys() & saved.metrics.keys() & now.metrics.keys():
        sides = (saved.row_values[name], now.row_values[name])
        if not all(values.size and np.isfinite(values).all() for values in sides):
            continue
        if np.ptp(now.row_values[name]) == 0:
            # Of equal values a median, say, is the mean too.
            continue
        known = [of_rows for of_rows in _OF_ROWS if _agrees(now, name, of_rows)]
        if known and not any(_agrees(saved, name, of_rows) for of_rows in known):
            given = known[0](saved.row_values[name], saved.n)
            value = saved.metrics[name].value
            return f"{name} is {value:.6g}, but the values of its rows give {given:.6g}"
    return None


class SavedRun:
    """Reads the file at once. :raises BaselineError: one line, when it is no such report."""

    remark = "a saved run: separate runs can show only large differences in latency"

    def __init__(self, path: Path) -> None:
        self.label = path.name
        self._measured: list[_Measured] = []
        for place, entry in enumerate(_read(path)):
            try:
                record = from_mapping(entry)
                if record.accuracy is not None:
                    _check_row_values(record.accuracy)
            except MalformedRecord as error:
                where = f"/evaluations/{place}{error.at}"
                raise BaselineError(f"{path}: is malformed at {where}: {error.what}; save a new one") from None
            if record.case is not None and (record.latency or record.accuracy):
                self._measured.append(_Measured(record, record.case))

    def _of(self, case: Case) -> Sequence[EvaluationRecord]:
        dimensions = _dimensions(case)
        model = case.model
        found = [each for each in self._measured if each.case.model == model and each.dimensions == dimensions]
        # Two manifests may give their models the same name; folders do not count, since checkouts lie anywhere.
        same_file = [each for each in found if Path(each.case.manifest).name == Path(case.manifest).name]
        if not (same_file or found):
            raise NotInBaseline(self._lacking(case, dimensions))
        return [each.record for each in same_file or found]

    def _lacking(self, case: Case, dimensions: tuple[object, ...]) -> str:
        """What there is instead, where the case differs from one of the run's in one dimension only."""
        name = f"{case.model} {case.id or case.framework}"
        for place, dimension in enumerate(NAMES):
            others = {
                str(each.dimensions[place])
                for each in self._measured
                if each.case.model == case.model
                and each.dimensions[:place] == dimensions[:place]
                and each.dimensions[place + 1 :] == dimensions[place + 1 :]
            }
            if others:
                there = " or ".join(sorted(others))
                return f"the saved run has {name} with {dimension} {there}, not {dimensions[place]}"
        return f"the saved run has no case {name}"

    def latency(self, case: Case) -> EvaluationRecord:
        """The latest that has one. :raises NoCounterpart: when the run has none for the case."""
        timed = [each for each in self._of(case) if each.latency]
        if not timed:
            raise NotInBaseline("the saved run has no latency of this case")
        if timed[-1].latency is None or not medians(timed[-1].latency):
            raise NoCounterpart("the saved run has too few calls for a p50 of this case")
        return timed[-1]

    def accuracy(self, case: Case) -> EvaluationRecord:
        """The latest that has one, with a result of each row.

        :raises NoCounterpart: when the run has none for the case.
        """
        scored = [each for each in self._of(case) if each.accuracy]
        if not scored:
            raise NotInBaseline("the saved run has no accuracy of this case")
        latest = scored[-1]
        omitted = latest.accuracy.predictions.omitted if latest.accuracy else None
        if latest.accuracy and omitted is not None and not latest.accuracy.row_values:
            raise NoCounterpart(f"the saved run kept no predictions ({omitted})")
        return latest


def medians(latency: Latency) -> tuple[float, ...]:
    """Seconds, one a process; empty where one has none, such as where it left half of its queries unanswered."""
    if latency.restarts is not None:
        found = tuple(process.median for process in latency.restarts.processes)
        return found if all(map(math.isfinite, found)) else ()
    p50 = latency.percentiles.get("p50")
    return () if p50 is None else (p50,)


def _dimensions(case: Case | CaseRecord) -> tuple[object, ...]:
    return tuple(getattr(case, name) for name in NAMES)


def _read(path: Path) -> list[Any]:
    try:
        with open_ordinary(path) as stream:
            text = stream.read().decode("utf-8")
    except FileNotFoundError:
        raise BaselineError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise BaselineError(f"{path}: is not a report of --mlscope-json (it is not text)") from None
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        report = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise BaselineError(f"{path}: ends in the middle: it is not a whole report of --mlscope-json") from None
        raise BaselineError(f"{path}: is not a report of --mlscope-json (no JSON at line {error.lineno})") from None
    except ValueError:
        raise BaselineError(f"{path}: is not a report of --mlscope-json (a number has thousands of digits)") from None
    except RecursionError:
        raise BaselineError(f"{path}: is not a report of --mlscope-json (nested too deeply)") from None
    if not isinstance(report, dict) or "schema" not in report or not isinstance(report.get("evaluations"), list):
        raise BaselineError(f"{path}: is not a report of --mlscope-json (it lacks schema or evaluations)")
    if report["schema"] != FORMAT:
        raise BaselineError(
            f"{path}: is a report of schema {report['schema']!r}, and this version reads {FORMAT}; save a new one"
        )
    evaluations: list[Any] = report["evaluations"]
    return evaluations
