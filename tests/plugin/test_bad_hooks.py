"""What a conftest, a plugin or a hand-written test gets wrong is said in one line, and loses nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatch
from textwrap import dedent
from typing import Any, cast

import numpy as np
import pytest

from pytest_mlscope import Reading
from pytest_mlscope.components.mistakes import checked_readings
from pytest_mlscope.errors import MlscopeError
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

INTERNALS = ("*INTERNALERROR*", "*Traceback*", "*pluggy/*")


def assert_no_internals(result: pytest.RunResult) -> None:
    for pattern in INTERNALS:
        result.stdout.no_fnmatch_line(pattern)


@pytest.fixture
def hook(pytester: pytest.Pytester) -> Callable[[str, str], None]:
    def write(signature: str, body: str, before: str = "") -> None:
        pytester.makeconftest(
            f"import pytest\n{dedent(before)}\n@pytest.hookimpl(optionalhook=True)\ndef {signature}:\n    {body}\n"
        )

    return write


PROFILER = """
from pytest_mlscope import Profiler, Reading

class Mine(Profiler):
    name = "mine"

    def __init__(self):
        {init}

    def start(self, window):
        {start}

    def stop(self):
        {stop}

class Other(Profiler):
    name = "other"

    def start(self, window):
        pass

    def stop(self):
        with open("stopped", "a"):
            return [Reading(name="fine", unit="W", value=1.5)]
"""


@pytest.mark.parametrize(
    ("init", "start", "stop", "said"),
    [
        ("raise OSError('no\\nsensor')", "pass", "return []", "raised OSError: no sensor*conftest.py:*"),
        ("pass", "raise OSError('no sensor')", "return []", "raised OSError: no sensor*conftest.py:*"),
        ("pass", "pass", "raise OSError('no sensor')", "raised OSError: no sensor*conftest.py:*"),
        ("pass", "pass", "return [5]", "stop returned [[]5[]]; expected a list of Readings"),
        (
            "pass",
            "pass",
            "return [Reading('a', 'W', 'text')]",
            "reading 'a' has the value 'text'; expected a number or*",
        ),
    ],
)
def test_a_profiler_that_fails_fails_its_case_in_one_line(
    suite: Suite,
    run: Run,
    pytester: pytest.Pytester,
    hook: Callable[..., None],
    init: str,
    start: str,
    stop: str,
    said: str,
) -> None:
    """The reports are written, and the other profiler is stopped all the same."""
    before = PROFILER.format(init=init, start=start, stop=stop)
    hook("pytest_mlscope_register_profilers()", "return [Other, Mine]", before)
    suite.manifest()
    result = run("--mlscope-json", "out.json")
    assert_no_internals(result)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*profiler mine: {said}"])
    report = json.loads((pytester.path / "out.json").read_text())
    assert [evaluation["outcome"] for evaluation in report["evaluations"]] == ["passed", "failed"]
    assert (pytester.path / "stopped").exists() is (init == start == "pass")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "stop returned None; expected a list of Readings"),
        ("text", "stop returned 'text'; expected a list of Readings"),
        ([Reading], "stop returned [<class *; expected a list of Readings"),
        ([Reading("a", "W", True)], "reading 'a' has the value True; expected a number or None"),
        ([Reading(cast(str, 3), "W", 1)], "a reading has the name 3; expected text"),
        ([Reading("a", cast(str, None), 1)], "reading 'a' has the unit None; expected text"),
        ([Reading("a", "W", 1, note=cast(str, 4))], "reading 'a' has the note 4; expected text"),
        (
            [Reading("a", "W", 1, samples=cast(Any, [1, 2]))],
            "reading 'a' has samples that are not (seconds, value) pairs",
        ),
        ([Reading("a", "W", 1, samples=cast(Any, 5))], "reading 'a' has samples that are not (seconds, value) pairs"),
    ],
)
def test_readings_hold_what_reports_can_show(returned: object, said: str) -> None:
    with pytest.raises(MlscopeError) as caught:
        checked_readings(returned, where="profiler mine", what="stop")
    assert fnmatch(str(caught.value), f"profiler mine: {said.replace('[', '[[]')}")


def test_readings_may_be_numpy_numbers_and_may_be_missing() -> None:
    readings = [
        Reading("a", "W", cast(float, np.float32(1.5)), samples=[(0.0, 1.0)]),
        Reading("b", "", None, note="no sensor"),
        Reading("c", "", cast(float, np.int64(3))),
    ]
    assert checked_readings(readings, where="profiler mine", what="stop") == readings


def test_a_profiler_that_fails_does_not_hide_why_the_measurement_failed(
    suite: Suite, run: Run, hook: Callable[..., None]
) -> None:
    before = PROFILER.format(init="pass", start="pass", stop="return 5")
    hook("pytest_mlscope_register_profilers()", "return [Mine]", before)
    suite.framework("toy", predict='raise ValueError("the model is broken")')
    suite.manifest(expect="{}")
    result = run("-m", "latency")
    result.stdout.fnmatch_lines(["*the model is broken*"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise OSError('disk full')", "pytest_mlscope_register_report_writers: raised OSError: disk full*"),
        ("return 5", "pytest_mlscope_register_report_writers: returned 5; expected a list"),
        ("return object()", "pytest_mlscope_register_report_writers: returned <object*>; expected a list"),
        ("return object", "pytest_mlscope_register_report_writers: returned <class 'object'>; expected a list"),
        ("return 'text'", "pytest_mlscope_register_report_writers: returned 'text'; expected a list"),
        ("return ['text']", "pytest_mlscope_register_report_writers: returned 'text'; expected ReportWriters"),
        ("return [Mine]", "pytest_mlscope_register_report_writers: returned <class *Mine'>; expected ReportWriters"),
        ("return [Mine()]", "report writer mine: returned 5; expected one line of text or None"),
    ],
)
def test_wrong_report_writers_are_told_and_lose_no_report(
    suite: Suite, run: Run, pytester: pytest.Pytester, hook: Callable[..., None], body: str, said: str
) -> None:
    before = """
        from pytest_mlscope import ReportWriter

        class Mine(ReportWriter):
            name = "mine"

            def write(self, run, evaluations):
                return 5
    """
    hook("pytest_mlscope_register_report_writers()", body, before)
    suite.manifest()
    result = run("-m", "accuracy", "--mlscope-json", "out.json")
    assert_no_internals(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["JSON report: *", f"ERROR: {said}"])
    assert len(json.loads((pytester.path / "out.json").read_text())["evaluations"]) == 1


@pytest.mark.parametrize("returned", ["5", "['a line']", "object()"])
def test_write_reports_returns_a_line_or_nothing(
    suite: Suite, run: Run, hook: Callable[..., None], returned: str
) -> None:
    hook("pytest_mlscope_write_reports(run, evaluations)", f"return {returned}")
    suite.manifest()
    result = run("-m", "accuracy", "--mlscope-json", "out.json")
    assert_no_internals(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["JSON report: *", "ERROR: pytest_mlscope_write_reports: returned *; expected one line*"]
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("cases.append(None)", "left None in the list; expected Cases"),
        ("cases[:] = ['toy']", "left 'toy' in the list; expected Cases"),
        ("cases[0] = dataclasses.replace(cases[0], id=4)", "left a case with id 4; expected text"),
        ("cases[0] = dataclasses.replace(cases[0], threads=[1])", "left a case with threads [1]; expected a whole *"),
        ("cases[0] = dataclasses.replace(cases[0], manifest='x.yml')", "left a case of another manifest, 'x.yml'"),
        (
            "cases[0] = dataclasses.replace(cases[0], framework='ty')",
            "left a case of framework 'ty', which the manifest does not have; it has: toy",
        ),
        ("cases[0] = dataclasses.replace(cases[0], batch_size=0)", "left a case with batch_size 0; expected 1 or more"),
        ("cases[0] = dataclasses.replace(cases[0], threads=-3)", "left a case with threads -3; expected 1 or more"),
        ("cases.append(cases[0])", "left the case 'toy' more than once"),
        ("return list(cases)", "returned list; it must change the list `cases` in place and return nothing"),
        ("cases.clear()", "left no case; leave at least one, or leave the manifest out by --ignore"),
        ("raise KeyError('mine')", "raised KeyError: 'mine' (conftest.py:6)"),
    ],
)
def test_cases_modified_wrongly_are_one_line(
    suite: Suite, run: Run, hook: Callable[..., None], body: str, said: str
) -> None:
    hook("pytest_mlscope_modify_cases(config, manifest, cases)", body, "import dataclasses\n")
    suite.manifest()
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert_no_internals(result)
    escaped = said.replace("[", "[[]")
    result.stdout.fnmatch_lines(["*ERROR collecting linear.mlscope.yml*", f"*: pytest_mlscope_modify_cases {escaped}"])


def test_a_registering_hook_that_raises_is_one_line(suite: Suite, run: Run, hook: Callable[..., None]) -> None:
    hook("pytest_mlscope_register_metrics()", "raise OSError('no such disk')")
    suite.manifest()
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert_no_internals(result)
    result.stdout.fnmatch_lines(["*pytest_mlscope_register_metrics raised OSError: no such disk (conftest.py:5)"])


@pytest.mark.parametrize("folder", [".", "below"])
def test_a_hook_name_with_a_typo_is_warned_of(suite: Suite, run: Run, pytester: pytest.Pytester, folder: str) -> None:
    """``optionalhook`` keeps pytest itself from saying so."""
    path = pytester.path / folder / "conftest.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "import pytest\n"
        "pytest_mlscope_constant = 3\n"
        "@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_register_metric(): return []\n"
    )
    (path.parent / "test_nothing.py").write_text("def test_nothing(): pass\n")
    suite.manifest(name="model")
    result = run("-m", "not latency")
    result.assert_outcomes(passed=2, warnings=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*PytestConfigWarning: *conftest.py: pytest-mlscope has no hook 'pytest_mlscope_register_metric' "
            "(did you mean 'pytest_mlscope_register_metrics'[?])*"
        ]
    )


def test_hook_names_that_are_right_are_not_warned_of(suite: Suite, run: Run, hook: Callable[..., None]) -> None:
    hook("pytest_mlscope_register_metrics()", "return []", "import pytest_mlscope\n")
    suite.manifest()
    run("-m", "accuracy").assert_outcomes(passed=1, warnings=0, deselected=1)


@pytest.mark.parametrize("use", ["@mlscope_cases", "@mlscope_cases(5)"])
def test_mlscope_cases_without_a_manifest_is_an_error(
    run: Run, pytester: pytest.Pytester, suite: Suite, use: str
) -> None:
    """Bare, it would swallow the function, and pytest would collect no test."""
    pytester.makepyfile(f"from pytest_mlscope import mlscope_cases\n{use}\ndef test_mine(evaluation): pass\n")
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*TypeError: mlscope_cases takes a manifest's path, not *"])


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("@mlscope_cases('linear.mlscope.yml')\n@mlscope_cases('linear.mlscope.yml')", "stands twice on the test*"),
        ("@pytest.mark.mlscope_cases", "expected one manifest path, got 0 arguments"),
        ("@pytest.mark.mlscope_cases(5)", "expected a manifest's path, not 5"),
    ],
)
def test_a_wrong_mark_is_a_collection_error(
    run: Run, pytester: pytest.Pytester, suite: Suite, use: str, said: str
) -> None:
    suite.manifest()
    pytester.makepyfile(
        f"import pytest\nfrom pytest_mlscope import mlscope_cases\n{use}\ndef test_mine(evaluation): pass\n"
    )
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert_no_internals(result)
    result.stdout.fnmatch_lines([f"*::test_mine: mlscope_cases: {said}"])


@pytest.mark.parametrize("fixture", ["evaluation", "mlscope_case"])
def test_the_fixtures_say_what_they_need(run: Run, pytester: pytest.Pytester, suite: Suite, fixture: str) -> None:
    pytester.makepyfile(f"def test_mine({fixture}): pass\n")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_mine: decorate the test with @mlscope_cases(*"])
    pytester.runpytest_inprocess().assert_outcomes(skipped=1)


def test_an_empty_json_path_is_a_usage_error(run: Run, suite: Suite) -> None:
    suite.manifest()
    result = run("--mlscope-json", "")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--mlscope-json: the path is empty"])


def test_a_json_path_that_begins_with_a_tilde_is_in_the_home_folder(
    run: Run, suite: Suite, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves ``~`` as it is after ``=``."""
    suite.manifest()
    home = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    run("-m", "accuracy", "--mlscope-json=~/report.json")
    assert (home / "report.json").is_file()
    assert not (suite.folder / "~").exists()
    result = run("--mlscope-json=~no-such-user/report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no home folder for '~'; write the path without it"])


@pytest.mark.slow
def test_an_item_whose_worker_dies_has_its_row(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makeconftest(
        """
        import os, pytest

        def pytest_runtest_call(item):
            if "accuracy" in item.name or item.name == "test_ordinary":
                os._exit(3)
        """
    )
    suite.manifest()
    pytester.makepyfile("def test_ordinary(): pass\n")
    result = run("-n", "1", "--mlscope-json", "out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    rows = json.loads((pytester.path / "out.json").read_text())["evaluations"]
    assert [(row["nodeid"], row["kind"], row["outcome"]) for row in sorted(rows, key=lambda row: row["kind"])] == [
        ("linear.mlscope.yml::test_accuracy[toy]", "accuracy", "failed"),
        ("linear.mlscope.yml::test_latency[toy]", "latency", "passed"),
    ]
    crashed = next(row for row in rows if row["kind"] == "accuracy")
    assert crashed["case"] is None
    assert "crashed while running" in crashed["reason"]
    result.stdout.fnmatch_lines(["-* failed -*", "*linear.mlscope.yml::test_accuracy?toy?", "*crashed while running*"])
