"""``--mlscope-strict`` and its parts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]


def cannot_run(suite: Suite) -> None:
    suite.framework("toy", load="raise Unsupported('not on a Sunday')")
    suite.manifest()


@pytest.mark.parametrize("parts", ["cannot-run", "new,cannot-run", "all", "new, cannot-run"])
def test_what_cannot_run_fails_where_that_part_is_named(suite: Suite, run: Run, parts: str) -> None:
    cannot_run(suite)
    run("-m", "accuracy", f"--mlscope-strict={parts}").assert_outcomes(failed=1)


def test_other_parts_leave_it_a_skip(suite: Suite, run: Run) -> None:
    cannot_run(suite)
    run("-m", "accuracy", "--mlscope-strict=new,inconclusive,not-compared").assert_outcomes(skipped=1)


@pytest.mark.parametrize(("ini", "options"), [("cannot-run", ()), ("inconclusive", ("--mlscope-strict",))])
def test_the_option_comes_before_the_configuration_file(
    suite: Suite, pytester: pytest.Pytester, run: Run, ini: str, options: tuple[str, ...]
) -> None:
    pytester.makeini(f"[pytest]\naddopts = -p no:cacheprovider\nmlscope_strict = new, {ini}\n")
    cannot_run(suite)
    run("-m", "accuracy", *options).assert_outcomes(failed=1)
    run("-m", "accuracy", "--mlscope-strict=new").assert_outcomes(skipped=1)


def test_a_path_after_the_option_stays_a_path(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest()
    suite.manifest(name="other")
    result = pytester.runpytest_inprocess(
        "--mlscope", "--collect-only", "-q", "-m", "accuracy", "--mlscope-strict", "other.mlscope.yml"
    )
    assert [line for line in result.outlines if "::" in line] == ["other.mlscope.yml::test_accuracy[toy]"]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "workers"])
def test_a_part_that_does_not_exist_ends_the_run(
    suite: Suite, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    suite.manifest()
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-strict=nwe", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    allowed = "cannot-run, new, inconclusive, not-compared, all"
    expected = f"--mlscope-strict: 'nwe' is not a part (did you mean 'new'?); allowed: {allowed}"
    result.stderr.fnmatch_lines([f"ERROR: {expected}"])
    for empty in ("", " , "):
        result = pytester.runpytest_inprocess("--mlscope", f"--mlscope-strict={empty}", *workers)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --mlscope-strict: no part is named; allowed: {allowed}"])
    pytester.makeini("[pytest]\nmlscope_strict = true\n")
    result = pytester.runpytest_inprocess("--mlscope", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: mlscope_strict: 'true' is not a part; allowed: *"])


@pytest.mark.slow
def test_what_is_new_fails_where_that_part_is_named(suite: Suite, run: Run) -> None:
    old = suite.manifest(name="old")
    suite.manifest(matrix="{batch_size: [1, 4]}")
    options = ("-m", "accuracy", f"--mlscope-against=model:{old}", "linear.mlscope.yml")
    result = run(*options, "--mlscope-strict=cannot-run,inconclusive,not-compared")
    result.assert_outcomes(passed=2, deselected=2)
    assert result.ret == pytest.ExitCode.OK
    run(*options, "--mlscope-strict=new").assert_outcomes(passed=1, failed=1, deselected=2)


@pytest.mark.slow
def test_what_cannot_be_compared_fails_where_that_part_is_named(
    suite: Suite, pytester: pytest.Pytester, run: Run
) -> None:
    suite.manifest(matrix="{batch_size: [1, 4]}")
    run("-m", "accuracy", "--mlscope-json=saved.json")
    report = json.loads((pytester.path / "saved.json").read_text())
    report["evaluations"][0]["provenance"]["hardware"]["machine"]["cpu_model"] = "another"
    (pytester.path / "saved.json").write_text(json.dumps(report))
    options = ("-m", "accuracy", "--mlscope-against=saved.json")
    run(*options, "--mlscope-strict=cannot-run,new,inconclusive").assert_outcomes(passed=2, deselected=2)
    run(*options, "--mlscope-strict=not-compared").assert_outcomes(passed=1, failed=1, deselected=2)
