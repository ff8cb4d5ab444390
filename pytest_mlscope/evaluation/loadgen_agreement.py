"""A case under MLPerf's LoadGen beside the same case under our own loop, in turns on one loaded model."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.agent.ready_model import ReadyModel
from pytest_mlscope.cases.case import Case
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.evaluation.first_rows import first_rows
from pytest_mlscope.evaluation.kolmogorov_smirnov import two_sample_test
from pytest_mlscope.evaluation.latency import load_model, rows_in_a_sample
from pytest_mlscope.evaluation.server_scenario import arrival_seconds, measure_server
from pytest_mlscope.evaluation.statistics import percentile_of
from pytest_mlscope.host.arrivals import poisson_arrivals
from pytest_mlscope.host.loadgen import SCENARIOS
from pytest_mlscope.manifest.schema import Scenario

WITHIN = 0.03
"""How far apart medians, or throughputs, may lie."""
SAME_DISTRIBUTION_FROM = 0.001
"""Probability of the Kolmogorov-Smirnov test below which arrivals are not of one distribution."""
FEWEST_QUERIES = 100


@dataclass(frozen=True)
class Round:
    """One run of each side; ns, int64."""

    ours: float
    """Median latency in seconds; ``offline``: rows a second."""
    theirs: float
    empty: float | None
    """Median latency under LoadGen with nothing to predict, in seconds; ``None`` for ``offline``, one query."""
    our_arrival_error: float | None
    """p99 in seconds, of ``server``; ``None`` where too few arrivals found the model idle."""
    their_arrival_error: float | None
    our_gaps: NDArray[np.int64]
    their_gaps: NDArray[np.int64]
    valid: bool
    """Whether LoadGen calls its run valid by MLPerf's rules."""


@dataclass(frozen=True)
class Agreement:
    """What both said of one scenario."""

    scenario: str
    rounds: Sequence[Round]

    @property
    def ratio(self) -> float:
        """LoadGen's over ours: the median over the rounds."""
        return median(each.theirs / each.ours for each in self.rounds)

    @property
    def arrivals(self) -> tuple[float, float] | None:
        """Distance and probability of the test of the gaps between arrivals, all rounds together; of ``server``."""
        if self.scenario != "server":
            return None
        ours, theirs = (
            np.concatenate([getattr(each, name) for each in self.rounds]) for name in ("our_gaps", "their_gaps")
        )
        return two_sample_test(ours, theirs)

    @property
    def agrees(self) -> bool:
        arrivals = self.arrivals
        return abs(self.ratio - 1) <= WITHIN and (arrivals is None or arrivals[1] >= SAME_DISTRIBUTION_FROM)

    def facts(self) -> dict[str, Any]:
        """As JSON holds it; seconds, or rows a second for ``offline``."""
        arrivals = self.arrivals
        return {
            "scenario": self.scenario,
            "ratio": self.ratio,
            "agrees": self.agrees,
            "arrivals": None if arrivals is None else {"distance": arrivals[0], "probability": arrivals[1]},
            "rounds": [
                {
                    "ours": each.ours,
                    "loadgen": each.theirs,
                    "loadgen_empty": each.empty,
                    "our_arrival_error_p99": each.our_arrival_error,
                    "loadgen_arrival_error_p99": each.their_arrival_error,
                    "loadgen_valid": each.valid,
                }
                for each in self.rounds
            ],
        }


def loadgen_case(case: Case, *, scenario: Scenario | None, target_qps: float | None, seconds: float) -> Case:
    """The case in a scenario, with windows of so many seconds.

    :raises MlscopeError: when LoadGen has no such case: batches in ``single_stream``, ``server`` without a rate.
    """
    content = case.manifest.content
    server = content.scenarios.server
    changes: dict[str, Any] = {"duration": seconds, "time_limit": max(server.time_limit, 4 * seconds)}
    if target_qps is not None:
        changes["target_qps"] = target_qps
    wanted = scenario or case.scenario
    if wanted == "single_stream" and case.batch_size != 1:
        raise MlscopeError(
            f"{case.id}: a query of MLPerf's single_stream is one row, and batch_size is {case.batch_size}; "
            "choose a case of batch size 1, or multi_stream"
        )
    if wanted == "server" and target_qps is None and server.target_qps is None:
        raise MlscopeError(f"{case.id}: server needs a rate here: --target-qps, or scenarios.server.target_qps")
    scenarios = content.scenarios.model_copy(update={"server": server.model_copy(update=changes)})
    measurement = content.measurement.model_copy(update={"budget": seconds})
    changed = content.model_copy(update={"scenarios": scenarios, "measurement": measurement})
    return dataclasses.replace(case, scenario=wanted, manifest=dataclasses.replace(case.manifest, content=changed))


def _of_round(model: ReadyModel, number: int) -> ReadyModel:
    """Arrivals of another seed in each round, and time for a run of either side."""
    manifest = model.case.manifest
    scenarios = manifest.content.scenarios
    server = scenarios.server.model_copy(update={"seed": (scenarios.server.seed + number) % 2**32})
    content = manifest.content.model_copy(update={"scenarios": scenarios.model_copy(update={"server": server})})
    case = dataclasses.replace(model.case, manifest=dataclasses.replace(manifest, content=content))
    timeout = model.timeout + 2 * server.time_limit
    return dataclasses.replace(model, case=case, timeout=timeout, deadline=time.monotonic() + timeout)


def _under_loadgen(
    model: ReadyModel, inputs: Mapping[str, NDArray[Any]], folder: Path, empty_folder: Path, *, seconds: float
) -> tuple[dict[str, NDArray[Any]], str]:
    case = model.case
    content = case.manifest.content
    server = content.scenarios.server
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MlscopeError(f"{folder}: cannot be made: {error.strerror}") from None
    request = {
        "operation": "loadgen",
        "scenario": case.scenario,
        "batch_size": case.batch_size,
        "dynamic": not model.pads,
        "samples_per_query": content.scenarios.multi_stream.samples_per_query if case.scenario == "multi_stream" else 1,
        "qps": server.target_qps or 1.0,
        "latency_bound": server.latency_bound,
        "percentile": server.percentile,
        "seconds": seconds,
        "queries": FEWEST_QUERIES,
        "limit": server.time_limit,
        "seed": server.seed,
        "warmup_budget": content.measurement.warmup_budget,
        "folder": str(folder.absolute()),
        "empty_folder": str(empty_folder.absolute()),
    }
    reply = model.host.request(request, inputs, timeout=model.remaining(), doing="running LoadGen")
    return {name: np.array(array) for name, array in model.host.tensors(reply).items()}, reply["summary"]


def _rows_a_second(summary: str) -> float:
    found = re.search(r"^Samples per second: ([0-9.e+]+)", summary, re.MULTILINE)
    if found is None:
        raise MlscopeError("LoadGen's summary of the offline run states no samples per second")
    return float(found[1])


def _round(model: ReadyModel, number: int, output: Path, seconds: float) -> Round:
    case = model.case
    server = case.manifest.content.scenarios.server
    rows = max(rows_in_a_sample(case), case.batch_size)
    inputs = first_rows(model, rows)
    batch = {name: array[: case.batch_size] for name, array in inputs.items()}
    name = SCENARIOS[case.scenario]
    folder = output / name / "performance" / f"run_{number + 1}"
    empty_folder = output / "nothing_to_predict" / name / f"run_{number + 1}"
    length = arrival_seconds(server, server.target_qps or 1.0) if case.scenario == "server" else seconds

    own = {name: array[: rows_in_a_sample(case)] for name, array in inputs.items()}
    if case.scenario == "server":
        # On the very arrivals that LoadGen drew: how long queries wait hangs on them more than on who times it.
        tensors, summary = _under_loadgen(model, batch, folder, empty_folder, seconds=length)
        scheduled = tensors["scheduled_ns"] - tensors["scheduled_ns"][0]
        latency, _ = measure_server(model, own, scheduled_ns=scheduled)
    elif number % 2 == 0:
        # What comes second finds another machine, now and then: it is not always the same side.
        latency = load_model(model, own)
        tensors, summary = _under_loadgen(model, batch, folder, empty_folder, seconds=length)
    else:
        tensors, summary = _under_loadgen(model, batch, folder, empty_folder, seconds=length)
        latency = load_model(model, own)
    offline, is_server = case.scenario == "offline", case.scenario == "server"
    gaps = np.diff(poisson_arrivals(server.target_qps or 1.0, length, server.seed)) if is_server else np.empty(0)
    return Round(
        ours=latency.throughput if offline else float(np.median(latency.samples_ns)) / 1e9,
        theirs=_rows_a_second(summary) if offline else float(np.median(tensors["latency_ns"])) / 1e9,
        empty=None if offline else float(np.median(tensors["empty_latency_ns"])) / 1e9,
        our_arrival_error=latency.server.arrival_error if latency.server else None,
        their_arrival_error=percentile_of(tensors["empty_issue_delay_ns"], 99.0) if is_server else None,
        our_gaps=gaps.astype(np.int64),
        their_gaps=np.diff(tensors["scheduled_ns"]) if is_server else np.empty(0, np.int64),
        valid=re.search(r"^Result is : VALID", summary, re.MULTILINE) is not None,
    )


def measure_agreement(model: ReadyModel, output: Path, *, rounds: int, seconds: float) -> Agreement:
    """Run both sides in turns; the device must be ours alone.

    :param model: of a case made by :func:`loadgen_case`.
    :param output: folder for LoadGen's logs.
    :raises CannotRun: where the framework's interpreter has no LoadGen.
    :raises HostError: when the framework fails.
    """
    made = [_round(_of_round(model, number), number, output, seconds) for number in range(rounds)]
    return Agreement(model.case.scenario, made)
