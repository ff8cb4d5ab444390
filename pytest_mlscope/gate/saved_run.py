"""A saved run: a report that ``--mlscope-json`` wrote, read as a baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.cases.case import Case
from pytest_mlscope.errors import BaselineError, NoCounterpart, NotInBaseline
from pytest_mlscope.manifest.dimensions import NAMES
from pytest_mlscope.measurements.results import Accuracy, FailedRows, Predictions
from pytest_mlscope.ordinary_files import open_ordinary

READ_SCHEMA = 1


@dataclass(frozen=True)
class SavedEvaluation:
    """What a saved run holds of one test item, as far as it can be compared."""

    model: str
    manifest: str
    """File name."""
    dimensions: tuple[object, ...]
    hardware: Mapping[str, Any]
    medians: tuple[float, ...]
    """Seconds, one a process; empty where there was no latency, or its p50 was not supported."""
    has_latency: bool
    server_qps: float | None
    """Rate at which queries came, of the server scenario."""
    accuracy: Accuracy | None
    predictions_omitted: str | None
    dataset: str | None = None
    """Its sha256; ``None`` where the run does not say."""


class SavedRun:
    """Reads the file at once. :raises BaselineError: one line, when it is no such report."""

    remark = "a saved run: separate runs, so only large differences of latency can be told"

    def __init__(self, path: Path) -> None:
        self.label = path.name
        report = _read(path)
        self._evaluations: list[SavedEvaluation] = []
        for place, record in enumerate(report):
            try:
                saved = _evaluation(record)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                raise BaselineError(f"{path}: evaluation {place + 1} is not as --mlscope-json writes it") from None
            if saved is not None:
                self._evaluations.append(saved)

    def _of(self, case: Case) -> Sequence[SavedEvaluation]:
        dimensions = tuple(getattr(case, name) for name in NAMES)
        model = case.model
        found = [each for each in self._evaluations if each.model == model and each.dimensions == dimensions]
        same_file = [each for each in found if each.manifest == Path(case.manifest).name]
        if not (same_file or found):
            raise NotInBaseline(self._lacking(case, dimensions))
        return same_file or found

    def _lacking(self, case: Case, dimensions: tuple[object, ...]) -> str:
        """What there is instead, where the case differs from one of the run's in one dimension only."""
        name = f"{case.model} {case.id or case.framework}"
        for place, dimension in enumerate(NAMES):
            others = {
                str(each.dimensions[place])
                for each in self._evaluations
                if each.model == case.model
                and each.dimensions[:place] == dimensions[:place]
                and each.dimensions[place + 1 :] == dimensions[place + 1 :]
            }
            if others:
                there = " or ".join(sorted(others))
                return f"the saved run has {name} with {dimension} {there}, not {dimensions[place]}"
        return f"the saved run has no case {name}"

    def latency(self, case: Case) -> SavedEvaluation:
        """:raises NoCounterpart: when the run has none for the case."""
        timed = [each for each in self._of(case) if each.has_latency]
        if not timed:
            raise NotInBaseline("the saved run has no latency of this case")
        if not timed[-1].medians:
            raise NoCounterpart("the saved run has too few calls for a p50 of this case")
        return timed[-1]

    def accuracy(self, case: Case) -> tuple[SavedEvaluation, Accuracy]:
        """With the predictions of each row. :raises NoCounterpart: when the run has none for the case."""
        scored = [each for each in self._of(case) if each.accuracy or each.predictions_omitted]
        if not scored:
            raise NotInBaseline("the saved run has no accuracy of this case")
        latest = scored[-1]
        if latest.accuracy is None:
            raise NoCounterpart(f"the saved run kept no predictions ({latest.predictions_omitted})")
        return latest, latest.accuracy


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
    if report["schema"] != READ_SCHEMA:
        raise BaselineError(
            f"{path}: is a report of schema {report['schema']!r}, and this version reads {READ_SCHEMA}; save a new one"
        )
    evaluations: list[Any] = report["evaluations"]
    return evaluations


def _evaluation(record: Mapping[str, Any]) -> SavedEvaluation | None:
    """``None`` for an item of which nothing was measured."""
    case, provenance = record["case"], record["provenance"]
    latency, accuracy = record["latency"], record["accuracy"]
    if case is None or provenance is None or (latency is None and accuracy is None):
        return None
    scored, omitted = (None, None) if accuracy is None else _accuracy(accuracy)
    return SavedEvaluation(
        model=str(case["model"]),
        manifest=Path(case["manifest"]).name,
        dimensions=tuple(case[name] for name in NAMES),
        hardware=dict(provenance["hardware"]),
        medians=() if latency is None else _medians(latency),
        has_latency=latency is not None,
        server_qps=None if not latency or not latency["server"] else float(latency["server"]["qps"]),
        accuracy=scored,
        predictions_omitted=omitted,
        dataset=(provenance.get("dataset") or {}).get("sha256"),
    )


def _medians(latency: Mapping[str, Any]) -> tuple[float, ...]:
    restarts = latency.get("restarts")
    if restarts:
        medians = [process["median"] for process in restarts["processes"]]
        # Of a process that left half of its queries unanswered there is none.
        return () if None in medians else tuple(map(float, medians))
    p50 = latency["percentiles"]["p50"]
    return () if p50 is None else (float(p50),)


def _accuracy(accuracy: Mapping[str, Any]) -> tuple[Accuracy | None, str | None]:
    kept = accuracy["predictions"]
    if kept["omitted"] is not None or any(kept[name] is None for name in ("rows", "labels", "predicted")):
        return None, str(kept["omitted"] or "no reason given")
    rows = np.array(kept["rows"], dtype=np.int64)
    predictions = Predictions(rows, np.array(kept["labels"]), np.array(kept["predicted"]))
    failures = [FailedRows(tuple(each["rows"]), str(each["message"])) for each in accuracy["failures"]]
    n, errors = int(accuracy["n"]), int(accuracy["errors"])
    return Accuracy({}, n, errors, failures, predictions, seconds=0.0), None
