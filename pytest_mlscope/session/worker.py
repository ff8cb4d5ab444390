"""The worker's part: collect manifests, evaluate cases, and attach a record to each report.

There is one in every pytest process that runs items: each worker of xdist, and without xdist the controller's own.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from pytest_mlscope.api import self_test
from pytest_mlscope.cases import Case
from pytest_mlscope.components import parse_cpu_list
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.gate import Baseline, Gate, SavedRun, SavedRunGate, SideBySideGate, VersionBaseline, find_baseline
from pytest_mlscope.machine import Affinity, cache_home, why_not_here
from pytest_mlscope.measurements import Evaluator
from pytest_mlscope.records import plain_text
from pytest_mlscope.reports import ProgressLines
from pytest_mlscope.session.case_evaluation import CaseEvaluation, item_case
from pytest_mlscope.session.controller import WORKER_MISTAKE
from pytest_mlscope.session.item_records import CASE_EVALUATION, attach_record
from pytest_mlscope.session.items.module import SUFFIX, ManifestModule
from pytest_mlscope.session.items.run_state import run_state
from pytest_mlscope.session.items.uncollected import uncollected
from pytest_mlscope.session.options import strictness
from pytest_mlscope.settings import Settings

EVALUATOR = pytest.StashKey[Evaluator]()
BASELINE = pytest.StashKey[Baseline | SavedRun]()
GATE = pytest.StashKey[Gate]()
RECORDER = pytest.StashKey[ProgressLines]()
EVALUATED = pytest.StashKey[set[tuple[object, ...]]]()
"""Tests that have evaluated their case."""


def affinity_of_run(config: pytest.Config) -> Affinity:
    """:raises pytest.UsageError: for what is not a list of CPUs, or CPUs that this machine does not have."""
    text = config.getoption("mlscope_affinity")
    if text is None:
        return None
    try:
        cpus = parse_cpu_list(text)
    except ValueError as error:
        raise pytest.UsageError(f"--mlscope-affinity: {error}") from None
    if reason := why_not_here(cpus):
        raise pytest.UsageError(f"--mlscope-affinity: {reason}")
    return cpus


def _evaluator(config: pytest.Config) -> Evaluator:
    """Made when the first item needs it: collecting alone starts nothing."""
    if EVALUATOR not in config.stash:
        settings = Settings(
            home=cache_home(),
            timeout=config.getoption("mlscope_timeout"),
            provision=config.getoption("mlscope_provision"),
            strict=strictness(config),
            layers=config.getoption("mlscope_layers"),
            restarts=config.getoption("mlscope_restarts"),
            affinity=affinity_of_run(config),
            command_line=("pytest", *map(str, config.invocation_params.args)),
            recorder=config.stash[RECORDER],
        )
        verify = partial(self_test, project=config.rootpath, home=settings.home, recorder=settings.recorder)
        config.stash[EVALUATOR] = Evaluator(settings, verify=verify)
    return config.stash[EVALUATOR]


def _gate(item: pytest.Item, evaluator: Evaluator) -> Gate | None:
    config = item.config
    baseline = config.stash.get(BASELINE, None)
    if baseline is not None and GATE not in config.stash:
        minimum_effect = config.getoption("mlscope_minimum_effect")
        if isinstance(baseline, SavedRun):
            config.stash[GATE] = SavedRunGate(baseline, minimum_effect=minimum_effect)
        else:
            config.stash[GATE] = SideBySideGate(
                baseline,
                evaluator,
                minimum_effect=minimum_effect,
                seconds=config.getoption("mlscope_gate_seconds"),
            )
    return config.stash.get(GATE, None)


def _test_of(item: pytest.Item, case: Case) -> tuple[object, ...]:
    """What an item does with its case. Copies of a test differ in parameters alone that the test does not take."""
    function = getattr(item, "function", None)
    parameters = getattr(item, "callspec", None)
    given: dict[str, object] = {} if parameters is None else parameters.params
    taken = () if function is None else inspect.signature(function).parameters
    # By identity, since parameters need not be hashable.
    own = tuple((name, id(given[name])) for name in taken if name in given and name != "mlscope_case")
    return (item.path, getattr(item, "cls", None), getattr(item, "originalname", item.name), case, case.id, own)


def evaluation_of(item: pytest.Item, case: Case) -> CaseEvaluation:
    """The evaluation an item's tests read."""
    try:
        evaluator = _evaluator(item.config)
    except MlscopeError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    gate = _gate(item, evaluator)
    plan = run_state(item.config).manifests.plan(case)
    evaluated = item.config.stash.setdefault(EVALUATED, set())
    test = _test_of(item, case)
    if test in evaluated:
        # The test runs again, by a plugin that repeats what failed, or makes copies of every item: so must the
        # evaluation, or one measurement would stand for several that agree.
        evaluator.forget(plan)
        if gate is not None:
            gate.forget(plan)
    evaluated.add(test)
    evaluation = CaseEvaluation(item, plan, evaluator, gate=gate)
    item.stash[CASE_EVALUATION] = evaluation
    return evaluation


def _encodable_id(config: pytest.Config, path: Path) -> str | None:
    """The node id of a path that no report can encode, its odd bytes as escapes; ``None`` for any other path."""
    text = str(path.relative_to(config.rootpath) if path.is_relative_to(config.rootpath) else path)
    return None if text.isascii() or plain_text(text) == text else plain_text(text)


def _warn(config: pytest.Config, text: str) -> None:
    """Add to pytest's summary of warnings, also where a project makes warnings errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(pytest.PytestCollectionWarning(text), stacklevel=1)
    for message in caught:
        config.hook.pytest_warning_recorded.call_historic(
            kwargs={"warning_message": message, "nodeid": "", "when": "collect", "location": None}
        )


class Worker:
    """What each process that runs items registers."""

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if not file_path.name.endswith(SUFFIX):
            return None
        state = run_state(parent.config)
        state.collected.add(file_path.resolve())
        module: pytest.Collector = ManifestModule.from_parent(
            parent, path=file_path, state=state, nodeid=_encodable_id(parent.config, file_path)
        )
        return module

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        against = session.config.getoption("mlscope_against")
        if against is None:
            return
        state = run_state(session.config)
        try:
            baseline = find_baseline(
                against,
                project=session.config.rootpath,
                home=cache_home(),
                load=lambda path, project: state.manifests.load_of(session, path, project=project),
            )
        except MlscopeError as error:
            raise pytest.UsageError(f"--mlscope-against: {error}") from None
        session.config.stash[BASELINE] = baseline
        # A saved run keeps no raw outputs.
        state.compares_outputs = isinstance(baseline, Baseline)

    def pytest_report_header(self, config: pytest.Config) -> str | None:
        baseline = config.stash.get(BASELINE, None)
        if baseline is None:
            return None
        remark = f" ({baseline.remark})" if baseline.remark else ""
        return f"mlscope: against {baseline.label}{remark}"

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        case = item_case(item)
        if case is not None:
            # So that -k finds a model by its name, which no id repeats.
            item.extra_keyword_matches.add(case.model)

    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        state = run_state(config)
        baseline = config.stash.get(BASELINE, None)
        mistake = state.selection_mistake()
        if mistake is None and isinstance(baseline, VersionBaseline):
            mistake = baseline.mistake(state.frameworks())
        if mistake is None and not session.testsfailed:
            left_out = uncollected(config, collected=state.collected, has_items=state.has_items)
            mistake = left_out.mistake
            # Every worker collects the same files, so one of them speaks for all.
            if not hasattr(config, "workerinput") or config.workerinput["workerid"] == "gw0":
                for text in left_out.warnings:
                    _warn(config, text)
        if mistake is None:
            return
        if not hasattr(config, "workeroutput"):
            raise pytest.UsageError(mistake)
        # A worker that raises is an internal error to its controller: it reports, and has nothing to run.
        config.workeroutput[WORKER_MISTAKE] = mistake
        items.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attach_record(item, call, report)
        return report

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        evaluator = config.stash.get(EVALUATOR, None)
        if evaluator is not None:
            evaluator.close()
