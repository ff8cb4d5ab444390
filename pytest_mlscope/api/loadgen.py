"""A case under MLPerf's LoadGen, beside our own loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_mlscope.api.case_choice import choose_plan
from pytest_mlscope.api.evaluation import load_of_project
from pytest_mlscope.cases import Case
from pytest_mlscope.errors import MlscopeError, WrongUse
from pytest_mlscope.hosts import ModelLoader
from pytest_mlscope.machine import exclusive_lease
from pytest_mlscope.measurements import Agreement, loadgen_plan, logs_folder, measure_agreement
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.settings import Settings


def compare_with_loadgen(
    manifest: Path,
    output: Path,
    *,
    settings: Settings,
    case: str | None = None,
    scenarios: Sequence[str] = (),
    target_qps: float | None = None,
    seconds: float = 0.3,
    rounds: int = 40,
) -> tuple[Case, list[Agreement]]:
    """Time a case in turns on both sides; the case, and what each scenario gave.

    :param output: the folder that LoadGen's logs and ``agreement.json`` are written to, as scenarios are done.
    :param case: its id, as :func:`choose_plan` takes it.
    :param scenarios: in place of the case's own.
    :param target_qps: rate of ``server``, in place of the manifest's.
    :param seconds: length of each run.
    :param rounds: runs of each side.
    :raises WrongUse: when there is no such case, or the folder holds another call's logs.
    :raises MlscopeError: when the case cannot run, fails, or the folder cannot be written to.
    """
    chosen = choose_plan(load_of_project(manifest), case)
    wanted: Sequence[str | None] = scenarios or (None,)
    plans = [loadgen_plan(chosen, scenario=each, target_qps=target_qps, seconds=seconds) for each in wanted]
    for plan in plans:
        _require_unused(logs_folder(output, plan.case))
    report = output / "agreement.json"
    require_replaceable(report, beginning=r'\s*\[\s*(\{\s*"scenario"|\])', what="a report of mlscope loadgen")
    loader = ModelLoader(settings)
    agreements: list[Agreement] = []
    try:
        loader.prepare(chosen)
        with exclusive_lease("machine", recorder=settings.recorder):
            for plan in plans:
                ready = loader.ready(plan)
                agreements.append(measure_agreement(ready, output, rounds=rounds, recorder=settings.recorder))
                # After each scenario, so that a later failure does not lose it.
                _write(report, agreements)
    finally:
        loader.close()
    return chosen.case, agreements


def _require_unused(logs: Path) -> None:
    """Runs of two calls in one folder would be taken for one submission."""
    if logs.exists():
        raise WrongUse(f"{logs}: holds another call's logs; remove it, or name another --output")


def _others(path: Path, scenarios: set[str]) -> list[dict[str, Any]]:
    """What earlier calls wrote there of other scenarios."""
    try:
        return [each for each in json.loads(path.read_text("utf-8")) if each["scenario"] not in scenarios]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _write(path: Path, agreements: list[Agreement]) -> None:
    try:
        facts = _others(path, {agreement.scenario for agreement in agreements})
        facts += [agreement.facts() for agreement in agreements]
        path.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise MlscopeError(f"{path}: cannot be written: {error.strerror}") from None
