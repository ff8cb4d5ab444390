"""All checks of a framework folder, in order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.conformance import (
    error_checks,
    memory_checks,
    model_checks,
    prediction_checks,
    preparation,
    request_checks,
)
from pytest_mlscope.conformance.check_result import CheckResult, Fault, NotApplicable
from pytest_mlscope.conformance.subject import Subject, Tensors
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import cache_home
from pytest_mlscope.measurements import Evaluator, predict_raw, reference_plan
from pytest_mlscope.recorder import ConsoleRecorder
from pytest_mlscope.settings import Settings

DEFAULT_TIMEOUT = 120.0
"""Seconds a host may take for one request."""

Report = Callable[[CheckResult], None]


def _finding(name: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, "pass", check())
    except NotApplicable as reason:
        return CheckResult(name, "not applicable", str(reason))
    except (Fault, MlscopeError) as fault:
        return CheckResult(name, "fault", " ".join(str(fault).split()))


def check(
    path: str | Path,
    *,
    threads: int = 1,
    provision: bool = False,
    home: Path | None = None,
    project: Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    only: Collection[str] | None = None,
    report: Report | None = None,
) -> list[CheckResult]:
    """Check a framework folder against everything a predictor promises.

    The predictor runs in processes of its own, in the framework's environment; a crash, a hang or a leak there is a
    finding here.

    :param path: the folder with ``framework.yml``.
    :param threads: the thread count asked for.
    :param provision: make the framework's environment where there is none.
    :param home: where environments and model files are kept; by default the user's cache folder.
    :param project: the project whose model suites and hardware targets are looked up first; by default the current
        folder.
    :param timeout: seconds the predictor may take for one request.
    :param only: names of the checks to make, besides the three that come first; by default all.
    :param report: called with each finding as it is made.
    :returns: every check's finding, in order; once the model does not load, the rest is not applicable.
    :raises MlscopeError: when threads or timeout make no sense, or a check is named that there is not.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise MlscopeError(f"threads must be a whole number from 1 on, not {threads!r}")
    names = [name for name, _ in CHECKS]
    for name in only or ():
        if name not in names:
            raise MlscopeError(f"no check named {name!r}; there are: {', '.join(names)}")
    chosen = [(name, check_it) for name, check_it in CHECKS if only is None or name in (*_FIRST, *only)]
    settings = Settings(
        home=home or cache_home(),
        timeout=timeout,
        provision=provision,
        command_line=tuple(sys.argv),
        recorder=ConsoleRecorder(sys.stderr),
    )
    findings = []
    for finding in _findings(FrameworkFolder(Path(path)), chosen, project or Path.cwd(), threads, settings):
        findings.append(finding)
        if report is not None:
            report(finding)
    return findings


def _findings(
    folder: FrameworkFolder, chosen: Sequence[_Check], project: Path, threads: int, settings: Settings
) -> Iterator[CheckResult]:
    evaluator = Evaluator(settings)
    run = _Run(folder, project, threads, settings, evaluator)
    try:
        for index, (name, check_it) in enumerate(chosen):
            finding = _finding(name, lambda check_it=check_it: check_it(run))  # type: ignore[misc]  # binds each
            yield finding
            # Said of each, not left out: a table without them would look like fewer checks, all passed.
            if finding.status == "fault" and name in _FIRST:
                for left, _ in chosen[index + 1 :]:
                    yield CheckResult(left, "not checked", f"{name} is at fault")
                return
    finally:
        run.close()


class _Run:
    """What the checks of one folder share."""

    def __init__(
        self, folder: FrameworkFolder, project: Path, threads: int, settings: Settings, evaluator: Evaluator
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.evaluator = evaluator
        self._project = project
        self._threads = threads
        self._subject: Subject | None = None
        self._first_outputs: Tensors = {}

    @property
    def subject(self) -> Subject:
        assert self._subject is not None  # checks that need it come after the one that makes it
        return self._subject

    def environment(self) -> str:
        found = preparation.environment_of(self.folder, self.settings)
        return f"{found.kind}: {found.python}"

    def load(self) -> str:
        environment = preparation.environment_of(self.folder, self.settings)
        plan = preparation.self_test_plan(self.folder, self._project, self._threads)
        subject = self._subject = preparation.subject_of(plan, environment, self.settings)
        try:
            subject.ensure_loaded(batch_size=subject.batch_size)
            rows = subject.rows(subject.batch_size)
            self._first_outputs = subject.predict(rows, batch_size=subject.batch_size)
        except MlscopeError as error:
            raise Fault(f"{plan.case.model}: {error}") from None
        return f"{plan.case.model} in {subject.load_seconds:.2f} s, and it predicts"

    def survives(self) -> str:
        return prediction_checks.survives(self.subject, self._first_outputs)

    def reference_outputs(self, rows: int) -> Tensors:
        """The parity reference's outputs of the first rows, by the manifest's names.

        :raises NotApplicable: when the manifest names none, or it is this framework.
        :raises CannotRun: when it cannot run here.
        """
        plan = self.subject.plan
        if plan.parity_reference is None:
            raise NotApplicable("the self-test manifest names none")
        reference = reference_plan(plan)
        if reference.case.framework == plan.case.framework:
            raise NotApplicable("this framework is it")
        chunk = next(predict_raw(self.evaluator.loader.ready(reference), rows=rows))
        # The chunk lies in the host's arena, which the next request uses again.
        return {name: array.copy() for name, array in chunk.items()}

    def close(self) -> None:
        if self._subject is not None:
            self._subject.close()
        self.evaluator.close()


_Check = tuple[str, Callable[[_Run], str]]

CHECKS: Sequence[_Check] = (
    ("framework.yml", lambda run: preparation.check_folder(run.folder)),
    ("environment", _Run.environment),
    ("load", _Run.load),
    ("shapes", lambda run: prediction_checks.shapes(run.subject)),
    ("dtypes", lambda run: prediction_checks.dtypes(run.subject, run.reference_outputs)),
    ("batch sizes", lambda run: prediction_checks.any_batch(run.subject)),
    ("repetition", lambda run: prediction_checks.repeated(run.subject)),
    ("inputs", lambda run: memory_checks.inputs_untouched(run.subject)),
    ("outputs", lambda run: memory_checks.outputs_kept(run.subject)),
    ("bind", lambda run: memory_checks.bound_batch(run.subject)),
    ("threads", lambda run: request_checks.threads(run.subject)),
    ("precision", lambda run: request_checks.precision(run.subject)),
    ("precision not offered", lambda run: request_checks.precision_not_offered(run.subject)),
    ("missing file", lambda run: error_checks.missing_file(run.subject)),
    ("corrupt file", lambda run: error_checks.corrupt_file(run.subject)),
    ("truncated file", lambda run: error_checks.truncated_file(run.subject)),
    ("unknown input", lambda run: error_checks.unknown_input(run.subject)),
    ("unknown output", lambda run: error_checks.unknown_output(run.subject)),
    ("wrong shape", lambda run: error_checks.wrong_shape(run.subject)),
    ("wrong dtype", lambda run: error_checks.wrong_dtype(run.subject)),
    ("unload", lambda run: memory_checks.unloading(run.subject)),
    ("layers", lambda run: model_checks.layers(run.subject)),
    ("version", lambda run: model_checks.version(run.subject)),
    ("accuracy", lambda run: model_checks.expectation(run.subject, run.evaluator, "accuracy")),
    ("parity", lambda run: model_checks.expectation(run.subject, run.evaluator, "parity")),
    ("host survives", _Run.survives),
)
"""Every check, in the order in which they are made."""

_FIRST = ("framework.yml", "environment", "load")
"""Without these the others have nothing to check."""
