"""A conftest adds a kind of measurement: it is as good as a shipped one, everywhere."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import pytest_mlscope
from pytest_mlscope.errors import MlscopeError
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
PAGE = Path(__file__).parents[2] / "docs" / "measurement.md"
UNSTABLE = "x = x + numpy.float32(numpy.random.default_rng(time.perf_counter_ns()).random())"


@pytest.fixture
def documented() -> str:
    (conftest,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(conftest)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_it_is_measured_and_shown_in_every_report(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str, workers: tuple[str, ...]
) -> None:
    pytester.makeconftest(
        documented + "\n@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_write_reports(run, evaluations):\n"
        "    return ' '.join(f'{name} {each}' for e in evaluations for name, each in e['measurements'].items())\n"
    )
    suite.manifest(
        expect="{stability: {max: 0}, accuracy: {top1: {min: 0.85}}}", matrix="{scenario: [single_stream, offline]}"
    )
    options = ("--mlscope-json", "report.json", "--junitxml", "junit.xml", "--strict-markers")
    result = run("-m", "stability", *options, *workers)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*- stability -*", "*largest difference*rows*", "*toy*0*8*passed*", "stability {'values': {'largest': 0.0*"]
    )
    (record,) = json.loads((suite.folder / "report.json").read_text())["evaluations"]
    assert (record["kind"], record["outcome"]) == ("stability", "passed")
    assert record["measurements"]["stability"]["values"] == {"largest": 0.0, "rows": 8}
    assert record["key"]
    assert [check["name"] for check in record["checks"]] == ["stability"]
    assert 'name="mlscope.stability.rows" value="8"' in (suite.folder / "junit.xml").read_text()


def test_its_bound_fails_the_test(suite: Suite, run: Run, pytester: pytest.Pytester, documented: str) -> None:
    pytester.makeconftest(documented)
    suite.framework("toy", predict=UNSTABLE)
    suite.manifest(expect="{stability: {max: 0}}", extra="kinds: [stability]\n")
    result = run("-k", "stability")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*linear on toy: predictions differ by up to * (expected ≤ 0)*"])


OVERRIDES = "expect_overrides:\n  - {when: {batch_size: 2}, stability: %s}\n  - {when: {batch_size: 4}, stability: }\n"


def test_its_bound_is_another_for_some_cases(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str
) -> None:
    pytester.makeconftest(documented)
    suite.framework("toy", predict=UNSTABLE)
    suite.manifest(expect="{stability: {max: 0}}", matrix="{batch_size: [1, 2, 4]}", extra=OVERRIDES % "{max: 1.0e+9}")
    result = run("-m", "stability", "-rA")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["FAILED *test_stability[[]*b1*"])
    result.stdout.fnmatch_lines(["*toy* 1 *FAILED*", "*toy* 2 *passed*", "*toy* 4 *no bound*"])


def test_a_bound_of_some_cases_alone_is_enough_to_have_it(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str
) -> None:
    pytester.makeconftest(documented)
    suite.framework("toy", predict=UNSTABLE)
    suite.manifest(expect="{}", matrix="{batch_size: [1, 2]}", extra=OVERRIDES.rpartition("  -")[0] % "{max: 0}")
    run("-m", "stability").assert_outcomes(failed=1, passed=1)


BETWEEN = """
import dataclasses, pydantic, pytest
from pytest_mlscope import Bounds, Measurement

@dataclasses.dataclass
class R:
    x: int = 1

class Limits(Bounds):
    low: int = 0
    high: int = 9

    @pydantic.model_validator(mode="after")
    def _in_order(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

class Mine(Measurement):
    name = "mine"
    bounds = Limits

    def evaluate(self, context):
        return R()

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_measurements():
    return [Mine()]
"""


def test_overrides_that_contradict_each_other_fail_the_case(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BETWEEN)
    overrides = "expect_overrides: [{when: {batch_size: 1}, mine: {low: 8}}, {when: {hardware: cpu}, mine: {high: 5}}]"
    suite.manifest(expect="{mine: {}}", matrix="{batch_size: [1, 2]}", extra=f"{overrides}\n")
    result = run("-m", "mine")
    result.assert_outcomes(failed=1, passed=1)
    said = " ".join(result.stdout.str().split())
    assert re.search(r"expect.mine of \S+, with expect_overrides 1, 2 applied, is wrong: .*low is above high", said)


def test_only_manifests_that_ask_for_it_have_it(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str
) -> None:
    pytester.makeconftest(documented)
    suite.manifest(name="without")
    suite.manifest(name="with", extra="kinds: [latency, stability]\n", expect="{}")
    result = run("--collect-only", "-q")
    collected = {line.partition("[")[0] for line in result.outlines if "::" in line}
    assert collected == {
        "without.mlscope.yml::test_accuracy",
        "without.mlscope.yml::test_latency",
        "with.mlscope.yml::test_latency",
        "with.mlscope.yml::test_stability",
    }


@pytest.mark.slow
def test_a_baseline_does_not_compare_it_and_that_is_said(
    suite: Suite, run: Run, pytester: pytest.Pytester, documented: str, tmp_path: Path
) -> None:
    pytester.makeconftest(documented)
    suite.manifest(extra="kinds: [accuracy, stability]\n")
    first = run("--mlscope-json", "saved.json")
    first.assert_outcomes(passed=2)
    result = run("--mlscope-against=saved.json")
    result.assert_outcomes(passed=2)
    assert "not compared with saved.json: stability has no comparison (1 test)" in " ".join(result.stdout.str().split())


def test_it_is_evaluated_from_python(suite: Suite, documented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suite.folder)
    plugin = types.ModuleType("plugin")
    exec(compile(documented, "plugin.py", "exec", dont_inherit=True), vars(plugin))
    path = suite.manifest()
    made = pytest_mlscope.evaluate(path, kinds=["stability"], plugins=[plugin])
    assert made.measurements["stability"].values == {"largest": 0.0, "rows": 8}
    assert made.accuracy is None
    with pytest.raises(MlscopeError, match=r"unknown kind 'stabilty'; allowed: .* \(did you mean 'stability'\?\)"):
        pytest_mlscope.evaluate(path, kinds=["stabilty"], plugins=[plugin])


HEAD = """\
import dataclasses
import pytest
from pytest_mlscope import Bounds, Check, MeasuredColumn, Measurement

@dataclasses.dataclass
class Result:
    x: int = 1

class Mine(Measurement):
    name = "mine"
"""
HOOK = """
@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_measurements():
    return [{returned}]
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "    def evaluate(self, context): raise KeyError('rows')",
            "*mine: evaluate raised KeyError: 'rows' (conftest.py:*)*",
        ),
        ("    def evaluate(self, context): return 5", "*mine: evaluate returned 5; expected a dataclass object*"),
        (
            "    columns = (MeasuredColumn('y', 'why'),)\n    def evaluate(self, context): return Result()",
            "*mine: the column 'why' shows the field 'y', which the result does not have; it has: x*",
        ),
        (
            "    def evaluate(self, context): return Result()\n    def check(self, result, bounds, plan): return [1]",
            "*mine: check returned 1; expected Checks*",
        ),
    ],
)
def test_what_a_kind_does_wrong_fails_its_test_in_one_line(
    suite: Suite, run: Run, pytester: pytest.Pytester, body: str, said: str
) -> None:
    pytester.makeconftest(f"{HEAD}{body}\n{HOOK.format(returned='Mine()')}")
    suite.manifest(extra="kinds: [mine]\n", expect="{}")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said])


ODD = """
import dataclasses, pytest
from pytest_mlscope import Check, MeasuredColumn, Measurement

@dataclasses.dataclass
class R:
    x: object = 1

class Mine(Measurement):
    name = "mine"
    columns = (MeasuredColumn("x", "ex"),)

    def evaluate(self, context):
        return R({result})

    def check(self, result, bounds, plan):
        return [{check}]

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_measurements():
    return [Mine()]
"""


@pytest.mark.parametrize(
    ("result", "check", "said"),
    [
        ("object()", "", "what evaluate returned cannot be reported: /x: the type object cannot be reported"),
        ("10**5000", "", "/x: an integer of more than 64 bits cannot be reported"),
        ("{1: 2, '1': 3}", "", "/x: two keys are the same as text"),
        ("1", "exec('raise SystemExit(3)')", "mine: check raised SystemExit"),
        ("1", "Check('a', 1.0, '<=2', None, 'm')", "/passed: is null"),
        ("1", "Check('a', object(), '<=2', True, 'm')", "/measured: the type object cannot be reported"),
        ("1", "Check('a', 1.0, '<=2', 'no', 'm')", "/passed: expected true or false"),
    ],
)
def test_what_cannot_be_reported_fails_its_own_test_alone(
    suite: Suite, run: Run, pytester: pytest.Pytester, result: str, check: str, said: str
) -> None:
    pytester.makeconftest(ODD.replace("{result}", result).replace("{check}", check))
    suite.manifest(extra="kinds: [accuracy, mine]\n", expect="{}")
    done = run("--mlscope-json", "report.json")
    done.assert_outcomes(passed=1, failed=1)
    assert said in " ".join(done.stdout.str().split())
    done.stdout.no_fnmatch_line("*INTERNALERROR*")
    report = json.loads((suite.folder / "report.json").read_text("utf-8"))
    assert [each["outcome"] for each in report["evaluations"]] == ["passed", "failed"]


def test_one_that_only_compares_does_not_pass_without_a_baseline(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    conftest = ODD.replace("{result}", "1").replace("{check}", "")
    pytester.makeconftest(
        conftest.replace("    def check", "    def only_compares(self, plan):\n        return True\n\n    def check")
    )
    suite.manifest(extra="kinds: [mine]\n", expect="{}")
    run().assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (
            "def lacking(self, manifest, *, baseline): raise ValueError('odd')",
            "mine: lacking raised ValueError: odd",
        ),
        ("def lacking(self): return None", "mine: lacking raised TypeError: "),
        ("def takes(self, manifest, case, *, baseline): raise ValueError('odd')", "mine: takes raised ValueError: odd"),
        ("def only_compares(self, plan): raise ValueError('odd')", "mine: only_compares raised ValueError: odd"),
        (
            "def lacking(self, manifest, *, baseline): return ['labels']",
            "mine: lacking returned an object of type list; expected text that says what is lacking, or None",
        ),
        ("def lacking(self, manifest, *, baseline): return False", "mine: lacking returned False; expected text"),
        ("def lacking(self, manifest, *, baseline): return ''", "mine: lacking returned empty text; expected text"),
        (
            "def takes(self, manifest, case, *, baseline): pass",
            "mine: takes returned an object of type NoneType; expected True or False",
        ),
        ("def only_compares(self, plan): return 7", "mine: only_compares returned 7; expected True or False"),
        ("ignores = ('nonsense',)", "mine: ignores names 'nonsense', which is not a dimension; allowed: framework"),
    ],
)
def test_whatever_method_raises_or_returns_wrongly_is_one_line(
    suite: Suite, run: Run, pytester: pytest.Pytester, member: str, said: str
) -> None:
    conftest = ODD.replace("{result}", "1").replace("{check}", "")
    pytester.makeconftest(conftest.replace("    def check", f"    {member}\n\n    def check"))
    suite.manifest(extra="kinds: [mine]\n", expect="{}")
    done = run()
    assert done.ret != 0
    assert said in " ".join(done.stdout.str().split())
    done.stdout.no_fnmatch_line("*Traceback*")
