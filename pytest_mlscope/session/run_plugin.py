"""The plugin proper, registered under ``--mlscope`` in every pytest process that collects or runs items."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_mlscope.api import self_test
from pytest_mlscope.cases import Case
from pytest_mlscope.components import parse_cpu_list
from pytest_mlscope.documents import one_line
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.gate import Baseline, Gate, SavedRun, SavedRunGate, SideBySideGate, VersionBaseline, find_baseline
from pytest_mlscope.kinds import register_shipped
from pytest_mlscope.machine import Affinity, cache_home, why_not_here
from pytest_mlscope.measurements import Evaluator
from pytest_mlscope.records import TestOutcome, make_record, plain_text, to_mapping
from pytest_mlscope.reports import ProgressLines, junit_properties
from pytest_mlscope.session.case_evaluation import CaseEvaluation, failure_name, item_case
from pytest_mlscope.session.controller import RECORD_ATTRIBUTE, WORKER_MISTAKE, Controller
from pytest_mlscope.session.items.module import SUFFIX, ManifestModule
from pytest_mlscope.session.items.run_state import RUN_STATE, RunState, run_state
from pytest_mlscope.session.items.uncollected import uncollected
from pytest_mlscope.session.options import strictness
from pytest_mlscope.session.termination import TerminationPlugin
from pytest_mlscope.settings import Settings
from pytest_mlscope.text import closest, did_you_mean

EVALUATOR = pytest.StashKey[Evaluator]()
BASELINE = pytest.StashKey[Baseline | SavedRun]()
GATE = pytest.StashKey[Gate]()
RECORDER = pytest.StashKey[ProgressLines]()
EVALUATED = pytest.StashKey[set[tuple[object, ...]]]()
"""Tests that have evaluated their case."""
CASE_EVALUATION = pytest.StashKey[CaseEvaluation]()


def _affinity(config: pytest.Config) -> Affinity:
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
            affinity=_affinity(config),
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


def _outcome(report: pytest.TestReport) -> TestOutcome:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return cast(TestOutcome, report.outcome)


def _reason(report: pytest.TestReport, raised: BaseException | None) -> str | None:
    if report.passed:
        return None
    wasxfail = getattr(report, "wasxfail", None)
    if wasxfail:
        return str(wasxfail).removeprefix("reason: ")
    if isinstance(raised, pytest.fail.Exception | pytest.skip.Exception) and raised.msg is not None:
        return raised.msg
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2])
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else report.longreprtext


def _begin_with_the_reason(report: pytest.TestReport, name: str) -> None:
    """The short summary has one line, which a manifest's own item begins with its model and framework already."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = str(crash.message).replace(name, "", 1)


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


class MlscopePlugin:
    """Collects manifests, runs items, and attaches a record to each report."""

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
        case = item_case(item)
        if case is not None:
            # JUnit's older families write the file's path.
            report.location = (plain_text(report.location[0]), *report.location[1:])
        if case is None or not (report.when == "call" or (report.when == "setup" and not report.passed)):
            return report
        made = item.stash.get(CASE_EVALUATION, None)
        try:
            evaluation = made.announce() if made is not None and report.when == "call" else None
        except (pytest.fail.Exception, pytest.skip.Exception):
            # The host died after the measurement: the outcome stands, and there is no provenance to record.
            evaluation = None
        plan = run_state(item.config).manifests.plan(case)
        kinds = [mark.name for mark in item.iter_markers() if mark.name in plan.manifest.registry.measurements]
        record_of = partial(
            make_record,
            nodeid=item.nodeid,
            kind=kinds[0] if kinds else "test",
            plan=plan,
            seconds=report.duration,
        )
        try:
            record = record_of(
                evaluation,
                outcome=_outcome(report),
                reason=_reason(report, call.excinfo.value if call.excinfo is not None else None),
                checks=made.checks if made is not None else (),
                comparison=made.comparison if made is not None else None,
                cannot_run=made.cannot_run(call.excinfo.value) if made is not None and call.excinfo else None,
            )
            mapping = to_mapping(record, packed=True)
        except (MlscopeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            # A plugin's part of a result can hold anything. It costs its own item, not the whole session.
            report.outcome, report.longrepr = "failed", f"what was measured cannot be recorded: {one_line(error)}"
            record = record_of(None, outcome="failed", reason=report.longrepr, checks=())
            mapping = to_mapping(record, packed=True)
        setattr(report, RECORD_ATTRIBUTE, mapping)
        if item.path.name.endswith(SUFFIX):
            _begin_with_the_reason(report, f"{failure_name(case)}: ")
        item.user_properties.extend(junit_properties(record))
        return report

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        evaluator = config.stash.get(EVALUATOR, None)
        if evaluator is not None:
            evaluator.close()


class RegistryWatch:
    """Forgets what hooks registered whenever a plugin or conftest joins."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def pytest_plugin_registered(self, plugin: Any, manager: pytest.PytestPluginManager) -> None:
        self._state.manifests.forget_registries()
        self._warn_of_unknown_hooks(plugin, manager)

    def _warn_of_unknown_hooks(self, plugin: Any, manager: pytest.PytestPluginManager) -> None:
        """A hook's name with a typo is never called, and ``optionalhook`` keeps pytest from saying so."""
        ours = [name for name in dir(plugin) if name.startswith("pytest_mlscope_")]
        known = {name for name, caller in vars(manager.hook).items() if caller.has_spec()}
        for name in ours:
            if name in known or manager.parse_hookimpl_opts(plugin, name) is None:
                continue
            hint = did_you_mean(closest(name, known))
            where = getattr(plugin, "__file__", None) or manager.get_name(plugin)
            warning = pytest.PytestConfigWarning(
                f"{where}: pytest-mlscope has no hook {name!r}{hint}; it is never called"
            )
            config: Any = manager.get_plugin("pytestconfig")
            config.issue_config_time_warning(warning, stacklevel=2)


def enable(config: pytest.Config) -> None:
    """Register everything that ``--mlscope`` turns on. :raises pytest.UsageError: when an option cannot be obeyed."""
    # Called for their errors: a wrong option ends the run before anything is collected.
    _affinity(config)
    strictness(config)
    state = config.stash[RUN_STATE] = RunState(config)
    register_shipped(config.pluginmanager)
    config.pluginmanager.register(RegistryWatch(state), "mlscope-registry-watch")
    config.stash[RECORDER] = ProgressLines(config)
    config.pluginmanager.register(config.stash[RECORDER], "mlscope-progress")
    config.pluginmanager.register(MlscopePlugin(), "mlscope-plugin")
    if not hasattr(config, "workerinput"):
        try:
            config.pluginmanager.register(Controller(config), "mlscope-controller")
        except MlscopeError as error:
            raise pytest.UsageError(f"--mlscope-json: {error}") from None
        config.pluginmanager.register(TerminationPlugin(), "mlscope-termination")
