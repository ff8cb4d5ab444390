"""A conftest adds a scenario: it is as good as a shipped one, everywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.measurements import WarmModel
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"


@pytest.fixture
def documented() -> str:
    (conftest,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(conftest)


def _bursts(suite: Suite) -> dict[str, Any]:
    report = json.loads((suite.folder / "report.json").read_text())
    (record,) = [each for each in report["evaluations"] if each["case"]["scenario"] == "bursts" and each["latency"]]
    latency: dict[str, Any] = record["latency"]
    return latency


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_it_is_measured_and_shown_in_every_report(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str, workers: tuple[str, ...]
) -> None:
    pytester.makeconftest(
        documented + "\n@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_write_reports(run, evaluations):\n"
        "    latencies = [each['latency'] for each in evaluations if each['latency']]\n"
        "    return ' '.join(figure['name'] for latency in latencies for figure in latency['figures'])\n"
    )
    suite.manifest(
        matrix="{scenario: [single_stream, bursts]}",
        extra="scenarios: {bursts: {pause: 2 ms, bursts: 12}}\n",
        expect="{latency: {p50: 10 s}}",
    )
    result = run("-k", "bursts", "-m", "latency", "--mlscope-json", "report.json", "--junitxml", "junit.xml", *workers)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*first call [[]×]*", "*bursts: latency of a batch after a pause (1 row)*", "first call"]
    )
    latency = _bursts(suite)
    assert len(latency["samples_ns"]) == 12
    assert (latency["sample"], latency["stop_reason"]) == ("batch after a pause", "scenario")
    assert latency["figures"][0]["name"] == "first call"
    junit = (suite.folder / "junit.xml").read_text()
    assert 'name="mlscope.scenario" value="bursts"' in junit
    assert f'name="mlscope.first call" value="{latency["figures"][0]["value"]}"' in junit


def test_its_figures_outlive_what_every_latency_has(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(documented)
    monkeypatch.setenv("COLUMNS", "66")
    suite.manifest(matrix="{scenario: [bursts]}", expect="{}", extra="scenarios: {bursts: {pause: 1 ms}}\n")
    result = run("-m", "latency")
    result.stdout.fnmatch_lines(["*framework * first call [[]×]*", "*not shown at this width: *load, peak*"])


DEMANDING = """
import numpy, pytest
from pytest_mlscope import Check, Scenario, WarmModel

class Mine(Scenario):
    name = "mine"

    def measure(self, model, inputs):
        return WarmModel(model, inputs).timed(numpy.full(20, 1000), sample="batch")

    def checks(self, latency):
        yield Check("even", 1.0, "≤ 0", {passed}, "the load was not even")

    def incomparable(self, then, now):
        return "another weather"

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_scenarios():
    return [Mine]
"""


def test_it_has_checks_of_its_own_whatever_the_manifest_expects(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(DEMANDING.replace("{passed}", "False"))
    suite.manifest(matrix="{scenario: [mine]}", expect="{}")
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the load was not even*"])


@pytest.mark.slow
def test_runs_with_other_settings_are_not_compared(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str
) -> None:
    pytester.makeconftest(documented)
    for pause, options in (("1 ms", ("--mlscope-json", "saved.json")), ("2 ms", ("--mlscope-against=saved.json",))):
        extra = f"scenarios: {{bursts: {{pause: {pause}}}}}\n"
        suite.manifest(matrix="{scenario: [bursts]}", expect="{}", extra=extra)
        result = run("-m", "latency", *options)
    said = "scenarios.bursts.pause was 0.001 then and is 0.002 now, so their latencies do not compare"
    assert f"not compared with saved.json: {said} (1 test)" in " ".join(result.stdout.str().split())


@pytest.mark.slow
def test_it_says_what_makes_two_runs_incomparable(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(DEMANDING.replace("{passed}", "True"))
    suite.manifest(matrix="{scenario: [mine]}", expect="{}")
    run("-m", "latency", "--mlscope-json", "saved.json").assert_outcomes(passed=1)
    result = run("-m", "latency", "--mlscope-against=saved.json")
    assert "not compared with saved.json: another weather (1 test)" in " ".join(result.stdout.str().split())


@pytest.mark.slow
def test_it_is_compared_with_a_baseline_and_the_summary_says_what_is(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str, tmp_path: Path
) -> None:
    """The conftest is that of the suite's own folder, here and there."""
    folder = pytester.mkdir("inner")
    (folder / "conftest.py").write_text(documented)
    manifest = suite.manifest(matrix="{scenario: [bursts]}", expect="{}", extra="scenarios: {bursts: {pause: 1 ms}}\n")
    for path in (manifest, suite.folder / "weights.npy", suite.folder / "rows.npz"):
        path.rename(folder / path.name)
    baseline = shutil.copytree(suite.folder, tmp_path / "baseline")
    result = run("-m", "latency", f"--mlscope-against={baseline}", "--mlscope-gate-seconds", "1")
    result.assert_outcomes(passed=1)
    said = " ".join(result.stdout.str().split())
    assert "bursts: the time of a full batch is compared, not the latency of a batch after a pause" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ZeroDivisionError('no burst')", "*scenario 'mine' raised ZeroDivisionError: no burst (conftest.py:*)*"),
        ("return 3", "*scenario 'mine' returned 3; expected a Timed*"),
        (
            "return WarmModel(model, inputs).timed(numpy.array([0.5]), sample='batch')",
            "*scenario 'mine' measured float64 of shape (1,); expected integers of nanoseconds*",
        ),
        (
            "return WarmModel(model, inputs).timed(numpy.array([5]), sample='batch', figures=[7])",
            "*scenario mine: measure returned*expected a list of Readings*",
        ),
    ],
)
def test_what_a_scenario_does_wrong_fails_its_case_in_one_line(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, said: str
) -> None:
    pytester.makeconftest(
        "import numpy\nimport pytest\nfrom pytest_mlscope import Scenario, WarmModel\n"
        f"class Mine(Scenario):\n    name = 'mine'\n    def measure(self, model, inputs):\n        {body}\n"
        "@pytest.hookimpl(optionalhook=True)\ndef pytest_mlscope_register_scenarios():\n    return [Mine]\n"
    )
    suite.manifest(matrix="{scenario: [mine]}", expect="{}")
    result = run("-m", "latency")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "def lacking(self): return ['a rate']",
            "scenario mine: lacking returned an object of type list; expected text that says what is lacking, or None",
        ),
        ("def lacking(self): raise KeyError('rate')", "scenario mine: lacking raised KeyError: 'rate' (conftest.py:"),
        ("def rows(self, batch_size): return 2.5", "scenario mine: rows returned an object of type float; expected a "),
        (
            "def rows(self, batch_size): return 0",
            "scenario mine: rows returned 0; expected a number of rows, 1 ",
        ),
    ],
)
def test_a_wrong_answer_of_a_scenario_is_one_line(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, said: str
) -> None:
    pytester.makeconftest(
        "import pytest\nfrom pytest_mlscope import Scenario\n"
        f"class Mine(Scenario):\n    name = 'mine'\n    {body}\n    def measure(self, model, inputs): raise OSError\n"
        "@pytest.hookimpl(optionalhook=True)\ndef pytest_mlscope_register_scenarios():\n    return [Mine]\n"
    )
    suite.manifest(matrix="{scenario: [mine]}", expect="{}")
    result = run("-m", "latency")
    assert result.ret != pytest.ExitCode.OK
    assert said in " ".join(result.stdout.str().split())
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def checks(self, latency): return 3", "scenario mine: checks returned 3; expected Checks"),
        ("def checks(self, latency): return [3]", "latency: check returned 3; expected Checks"),
        ("def checks(self, latency): yield 1 / 0", "scenario mine: checks raised ZeroDivisionError: division by zero"),
        ("def incomparable(self, then, now): return 3", "scenario mine: incomparable returned 3; expected text "),
        ("def incomparable(self, then, now): return then.pause", "scenario mine: incomparable raised AttributeError: "),
    ],
)
def test_a_wrong_answer_about_a_latency_is_one_line(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, said: str
) -> None:
    plain = DEMANDING.partition("    def checks")[0] + "HOOK" + DEMANDING.partition("\n@pytest")[2]
    suite.manifest(matrix="{scenario: [mine]}", expect="{}")
    pytester.makeconftest(plain.replace("HOOK", "\n@pytest"))
    run("-m", "latency", "--mlscope-json", "saved.json").assert_outcomes(passed=1)
    pytester.makeconftest(plain.replace("HOOK", f"    {body}\n\n@pytest"))
    result = run("-m", "latency", "--mlscope-against=saved.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert said in " ".join(result.stdout.str().split())
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("times", "said"),
    [(np.full(50, 2**64 - 1, dtype=np.uint64), "18446744073709551615 ns"), (np.zeros(50, dtype=np.int64), "0 ns")],
)
def test_times_that_cannot_be_are_refused(times: Any, said: str) -> None:
    model = SimpleNamespace(case=SimpleNamespace(id="toy", scenario="bursts"))
    warm = WarmModel.__new__(WarmModel)
    warm._model, warm._opened = model, None  # type: ignore[assignment]
    with pytest.raises(
        MlscopeError, match=f"scenario 'bursts' measured {said}; expected integers of nanoseconds above 0"
    ):
        warm.timed(times, sample="batch")
