"""A case under MLPerf's LoadGen and under our own loop, in turns on one loaded model."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.cases import Case, Plan
from pytest_mlscope.deadline import Deadline
from pytest_mlscope.documents import unknown
from pytest_mlscope.errors import MlscopeError, WrongUse
from pytest_mlscope.host.arrivals import poisson_arrivals
from pytest_mlscope.host.loadgen import SCENARIOS
from pytest_mlscope.hosts import LoadGenRun, LoadGenSettings, ReadyModel
from pytest_mlscope.machine import least_busy_cpu, needs_one_cpu
from pytest_mlscope.measurements.latency.latency import rows_in_a_sample, time_in_scenario
from pytest_mlscope.measurements.latency.loadgen_agreement import Agreement, Arrivals, Round
from pytest_mlscope.measurements.latency.server import serve_arrivals, server_of
from pytest_mlscope.measurements.rows.first_rows import first_rows
from pytest_mlscope.recorder import Recorder

FEWEST_QUERIES = 11
"""In a run of LoadGen, however long they last: what a median needs by its own rule."""
FEWEST_ARRIVALS = 32
"""Likewise of ``server``: how late they are noticed is told of all rounds together, by its p99."""


def loadgen_plan(plan: Plan, *, scenario: str | None, target_qps: float | None, seconds: float) -> Plan:
    """The plan in a scenario, with windows of so many seconds.

    :raises WrongUse: when LoadGen has no such scenario.
    :raises MlscopeError: when LoadGen has no such case: batches in ``single_stream``, ``server`` without a rate.
    """
    case, server = plan.case, server_of(plan)
    qps = target_qps or server.target_qps
    wanted = scenario or case.scenario
    if wanted not in SCENARIOS:
        raise WrongUse(unknown("scenario of MLPerf's LoadGen", wanted, list(SCENARIOS)))
    # LoadGen would issue single rows, and our own loop would time whole batches: two different things.
    if wanted == "single_stream" and case.batch_size != 1:
        raise MlscopeError(
            f"{case.id}: a query of MLPerf's single_stream is one row, and batch_size is {case.batch_size}; "
            "choose a case of batch size 1, or multi_stream"
        )
    if wanted == "server" and qps is None:
        raise MlscopeError(f"{case.id}: server needs a rate here: --target-qps, or scenarios.server.target_qps")
    duration = max(seconds, FEWEST_ARRIVALS / qps) if wanted == "server" and qps is not None else seconds
    limit = max(server.time_limit, 4 * duration)
    return (
        plan.with_case(scenario=wanted)
        .with_budget(seconds)
        .with_scenario("server", duration=duration, target_qps=qps, time_limit=limit)
    )


def logs_folder(output: Path, case: Case) -> Path:
    """Where LoadGen's runs of a case are kept, as in an MLPerf submission."""
    return output / SCENARIOS[case.scenario] / "performance"


def _of_round(model: ReadyModel, number: int) -> ReadyModel:
    """Arrivals of another seed in every second round, and time for a run of either side."""
    server = server_of(model.plan)
    plan = model.plan.with_scenario("server", seed=(server.seed + number // 2) % 2**32)
    limit = model.deadline.limit + 2 * server.time_limit
    return dataclasses.replace(model, plan=plan, deadline=Deadline.after(limit))


def _under_loadgen(model: ReadyModel, inputs: Mapping[str, NDArray[Any]], output: Path, number: int) -> LoadGenRun:
    plan, case = model.plan, model.case
    server = server_of(plan)
    name = SCENARIOS[case.scenario]
    folder = logs_folder(output, case) / f"run_{number + 1}"
    empty_folder = output / "nothing_to_predict" / name / f"run_{number + 1}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MlscopeError(f"{folder}: cannot be made: {error.strerror}") from None
    settings = LoadGenSettings(
        scenario=case.scenario,
        batch_size=case.batch_size,
        dynamic=not model.pads,
        samples_per_query=rows_in_a_sample(plan) if case.scenario == "multi_stream" else 1,
        qps=server.target_qps or 1.0,
        latency_bound=server.latency_bound,
        percentile=server.percentile,
        seconds=server.duration if case.scenario == "server" else plan.measurement.budget,
        queries=FEWEST_QUERIES,
        limit=server.time_limit,
        seed=server.seed,
        warmup_budget=plan.measurement.warmup_budget,
        folder=folder,
        empty_folder=empty_folder,
    )
    return model.host.loadgen(settings, inputs, timeout=model.deadline)


def _rows_a_second(summary: str) -> float:
    # LoadGen's summary is text alone; a rate that is not found there must not become 0.
    found = re.search(r"^Samples per second: ([0-9.e+]+)", summary, re.MULTILINE)
    if found is None:
        raise MlscopeError("LoadGen's summary of the offline run states no samples per second")
    return float(found[1])


def _is_valid(summary: str) -> bool:
    return re.search(r"^Result is : VALID", summary, re.MULTILINE) is not None


def _server_round(
    model: ReadyModel, number: int, output: Path, scheduled: NDArray[np.int64] | None
) -> tuple[Round, NDArray[np.int64]]:
    """Both on the very arrivals that LoadGen drew: how long queries wait hangs on them more than on who times it.

    :param scheduled: what LoadGen drew in the round before and will draw again; it goes first where it is to draw.
    """
    inputs = first_rows(model, model.case.batch_size)
    if scheduled is None:
        run = _under_loadgen(model, inputs, output, number)
        # From the first arrival on: LoadGen's trace has an origin of its own.
        scheduled = run.scheduled_ns - run.scheduled_ns[0]
        served = serve_arrivals(model, inputs, scheduled)
        server = server_of(model.plan)
        ours = np.diff(poisson_arrivals(server.target_qps or 1.0, server.duration, server.seed))
        theirs = np.diff(scheduled)
    else:
        served = serve_arrivals(model, inputs, scheduled)
        run = _under_loadgen(model, inputs, output, number)
        # The same arrivals as in the round before; counted again, they would make the test look surer than it is.
        ours = theirs = np.empty(0, np.int64)
    made = Round(
        ours=float(np.median(served.samples_ns)) / 1e9,
        theirs=float(np.median(run.latency_ns)) / 1e9,
        empty=float(np.median(run.empty_latency_ns)) / 1e9,
        valid=_is_valid(run.summary),
        arrivals=(Arrivals(ours, served.noticed_late_ns), Arrivals(theirs, run.empty_issue_delay_ns)),
    )
    return made, scheduled


def _round(model: ReadyModel, number: int, output: Path) -> Round:
    plan = model.plan
    rows = rows_in_a_sample(plan)
    inputs = first_rows(model, max(rows, plan.case.batch_size))
    # Each side gets the rows that it takes: a sample of ours, a batch of LoadGen's.
    own = {name: array[:rows] for name, array in inputs.items()}
    batch = {name: array[: plan.case.batch_size] for name, array in inputs.items()}
    # What comes second finds another machine, now and then: it is not always the same side.
    if number % 2 == 0:
        latency = time_in_scenario(model, own)
        run = _under_loadgen(model, batch, output, number)
    else:
        run = _under_loadgen(model, batch, output, number)
        latency = time_in_scenario(model, own)
    is_rate = plan.scenario.is_rate
    return Round(
        ours=latency.throughput if is_rate else float(np.median(latency.samples_ns)) / 1e9,
        theirs=_rows_a_second(run.summary) if is_rate else float(np.median(run.latency_ns)) / 1e9,
        empty=None if is_rate else float(np.median(run.empty_latency_ns)) / 1e9,
        valid=_is_valid(run.summary),
    )


def measure_agreement(model: ReadyModel, output: Path, *, rounds: int, recorder: Recorder) -> Agreement:
    """Run both sides in turns; the device must be ours alone.

    Where the case runs on one CPU, each round takes the one that is least busy then, for both sides.

    :param model: of a case made by :func:`loadgen_case`.
    :param output: folder for LoadGen's logs.
    :raises CannotRun: where the framework's interpreter has no LoadGen.
    :raises HostError: when the framework fails.
    :raises MlscopeError: when queries of ``server`` are left unanswered.
    """
    coin = random.Random(0)  # noqa: S311 - the choice of a CPU, no secret
    made = []
    scheduled: NDArray[np.int64] | None = None
    for number in range(rounds):
        recorder.progress(f"{model.case.scenario}: round {number + 1} of {rounds}")
        if needs_one_cpu(model.plan):
            model.host.pin(least_busy_cpu(coin))
        ready = _of_round(model, number)
        if model.case.scenario == "server":
            one, scheduled = _server_round(ready, number, output, scheduled if number % 2 else None)
        else:
            one = _round(ready, number, output)
        made.append(one)
    return Agreement(model.case.scenario, made, is_rate=model.plan.scenario.is_rate)
