"""Manifests as test files: what is collected, under which names, and that pytest's own options work on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

MATRIX = "{batch_size: [1, 8], threads: [1, 2]}"
PARITY = "{accuracy: {top1: {min: 0.85}}, parity: {reference: toy}}"


def names(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def test_cases_become_items_with_short_ids(suite: Suite, run: Run) -> None:
    """A dimension with one value stays out of the id; accuracy and parity do not multiply with threads."""
    suite.framework("other")
    suite.manifest(frameworks=("toy", "other"), matrix=MATRIX, expect=PARITY)
    assert names(run("--collect-only", "-q")) == [
        "linear.mlscope.yml::test_accuracy[toy-b1]",
        "linear.mlscope.yml::test_accuracy[toy-b8]",
        "linear.mlscope.yml::test_accuracy[other-b1]",
        "linear.mlscope.yml::test_accuracy[other-b8]",
        "linear.mlscope.yml::test_parity[other-b1]",
        "linear.mlscope.yml::test_parity[other-b8]",
        "linear.mlscope.yml::test_latency[toy-t1-b1]",
        "linear.mlscope.yml::test_latency[toy-t1-b8]",
        "linear.mlscope.yml::test_latency[toy-t2-b1]",
        "linear.mlscope.yml::test_latency[toy-t2-b8]",
        "linear.mlscope.yml::test_latency[other-t1-b1]",
        "linear.mlscope.yml::test_latency[other-t1-b8]",
        "linear.mlscope.yml::test_latency[other-t2-b1]",
        "linear.mlscope.yml::test_latency[other-t2-b8]",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-k", "accuracy"], ["test_accuracy[toy]", "test_accuracy[other]"]),
        (["-k", "other and latency"], ["test_latency[other]"]),
        (["-m", "latency"], ["test_latency[toy]", "test_latency[other]"]),
        (["-m", "framework(name='other') and not latency"], ["test_accuracy[other]", "test_parity[other]"]),
        (["-m", "hardware(name='cuda')"], []),
        (["--mlscope-framework", "other", "-m", "accuracy"], ["test_accuracy[other]"]),
        (["--mlscope-framework=other,toy", "-m", "parity"], ["test_parity[other]"]),
        (["--mlscope-batch-size", "1", "--mlscope-hardware", "cpu", "-k", "accuracy and toy"], ["test_accuracy[toy]"]),
        (["--deselect", "linear.mlscope.yml::test_latency", "-k", "toy"], ["test_accuracy[toy]"]),
        (["linear.mlscope.yml::test_parity[other]"], ["test_parity[other]"]),
        (["-p", "no:xdist", "-p", "no:benchmark", "-k", "parity"], ["test_parity[other]"]),
    ],
)
def test_items_are_selected_as_any_others(suite: Suite, run: Run, options: list[str], expected: list[str]) -> None:
    suite.framework("other")
    suite.manifest(frameworks=("toy", "other"), expect=PARITY)
    found = [name.partition("::")[2] for name in names(run("--collect-only", "-q", *options))]
    assert found == expected


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--mlscope-framework", "toi", "--mlscope-framework: no case has 'toi' (did you mean 'toy'?); cases have: toy"),
        ("--mlscope-batch-size", "3", "--mlscope-batch-size: no case has '3'; cases have: 1"),
        ("--mlscope-batch-size", "0", "'0' is not a whole number from 1 on"),
        ("--mlscope-batch-size", "many", "'many' is not a whole number"),
        ("--mlscope-precision", "fp64", "unknown precision 'fp64'; allowed: fp32"),
        ("--mlscope-timeout", "-1", "is not a positive number of seconds"),
        ("--mlscope-timeout", "nan", "is not a positive number of seconds"),
        ("--mlscope-framework", "a,,b", "has an empty name"),
        ("--mlscope-json", "/proc/no/such/report.json", "cannot be written"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(
    suite: Suite, run: Run, option: str, value: str, said: str
) -> None:
    suite.manifest()
    result = run(option, value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str() + result.stdout.str()


def test_without_the_option_manifests_are_no_tests(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest()
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_without_the_option_nothing_heavy_is_imported() -> None:
    """The plugin is loaded in every pytest run of everyone who installed it."""
    script = (
        "import sys, pytest; pytest.main(['--version', '-p', 'no:cacheprovider']); import pytest_mlscope.plugin;"
        "print(sorted({'numpy', 'pydantic', 'yaml', 'rich', 'psutil', 'onnxruntime', 'packaging.specifiers'} "
        "& set(sys.modules)), [m for m in sys.modules if m.startswith('pytest_mlscope.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTEST_PLUGINS": ""},
    )
    ours = ["hookspecs", "option_values", "plugin", "reports", "reports.shipped", "session", "session.options"]
    loaded = done.stdout.splitlines()[-1]
    heavy, _, modules = loaded.partition("] [")
    assert heavy == "["
    assert sorted(eval("[" + modules)) == [f"pytest_mlscope.{name}" for name in ours]  # our own output


def test_ten_mistakes_are_ten_lines(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest(
        name="wrong",
        frameworks=("toi",),
        expect="{accuracy: {top9: {min: 0.85}}, latency: {p50: 5}, parity: {reference: none}}",
        matrix="{batch_size: [0], precision: [fp31], scenario: [single_streem], hardwear: [cpu]}",
        metrics="[top1, tpo5]",
        extra="colour: blue\n",
        sha256="abc",
    )
    result = run("--collect-only")
    lines = [line for line in result.outlines if "wrong.mlscope.yml:" in line]
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert len(lines) >= 10
    assert all(line.split("wrong.mlscope.yml:")[1].split(":")[0].isdigit() for line in lines)
    assert "did you mean 'toy'" in result.stdout.str()
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_hand_written_test_takes_cases(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest(matrix="{batch_size: [1, 8]}")
    pytester.makepyfile(
        test_linear="""
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("linear.mlscope.yml", batch_size=(8, 9), framework=["toy", "other"])
        def test_mine(evaluation):
            assert evaluation.accuracy["top1"] == 0.9
            assert evaluation.accuracy.n == 40
            assert evaluation.latency.p50 < 1
            assert evaluation.case.batch_size == 8

        @mlscope_cases("linear.mlscope.yml")
        def test_too_strict(evaluation):
            assert evaluation.accuracy["top1"] > 0.95
        """
    )
    result = run("test_linear.py", "-v")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*test_linear.py::test_mine[[]toy-b8[]] PASSED*", "*assert 0.9 > 0.95*"])


def test_a_hand_written_test_that_checks_what_is_no_kind_is_told(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    suite.manifest()
    pytester.makepyfile(
        test_linear="""
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("linear.mlscope.yml")
        def test_mine(evaluation):
            evaluation.check("speed")
        """
    )
    result = run("test_linear.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["unknown kind 'speed'; allowed: accuracy, parity, latency (did you mean 'latency'?)"])
    result.stdout.no_fnmatch_line("*Error*")


def test_a_hand_written_test_is_skipped_without_the_option(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest()
    pytester.makepyfile(
        """
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("linear.mlscope.yml")
        def test_mine(evaluation):
            raise AssertionError("must not run")
        """
    )
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*run with --mlscope*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('"linear.mlscope.yml", batch_size=7', "linear.mlscope.yml has no case with batch_size=7"),
        ('"absent.mlscope.yml"', "absent.mlscope.yml"),
    ],
)
def test_a_mark_that_fits_no_case_is_a_collection_error(
    suite: Suite, run: Run, pytester: pytest.Pytester, arguments: str, said: str
) -> None:
    suite.manifest()
    pytester.makepyfile(
        f"""
        from pytest_mlscope import mlscope_cases

        @mlscope_cases({arguments})
        def test_mine(evaluation):
            pass
        """
    )
    result = run("-p", "no:cacheprovider", pytester.path / "test_a_mark_that_fits_no_case_is_a_collection_error.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert said in result.stdout.str()
    result.stdout.no_fnmatch_line("*Traceback*")


def test_last_failed_runs_what_failed(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    suite.framework("other", predict="x = -x")
    suite.manifest(frameworks=("toy", "other"))
    run("-m", "accuracy").assert_outcomes(passed=1, failed=1)
    result = run("--lf", "-m", "accuracy", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_accuracy[[]other[]] FAILED*"])


def test_exitfirst_stops(suite: Suite, run: Run) -> None:
    suite.manifest(expect="{accuracy: {top1: {min: 0.99}}}")
    result = run("-x")
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["linear.mlscope.yml"], "linear.mlscope.yml is a model manifest; add --mlscope to evaluate it"),
        (["linear.mlscope.yml::test_latency[[]toy[]]"], "is a model manifest; add --mlscope"),
        (["--mlscope-json=out.json"], "--mlscope-json means nothing without --mlscope; add --mlscope"),
        (["--mlscope-strict"], "--mlscope-strict means nothing without --mlscope"),
    ],
)
def test_forgetting_the_option_is_said(
    suite: Suite, pytester: pytest.Pytester, arguments: list[str], said: str
) -> None:
    """A CI job that evaluates nothing must not be green."""
    suite.manifest()
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said.replace("[[]", "[") in result.stderr.str()
