"""No setting of a project makes a manifest's items vanish, and a run that collects none is not green."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]


def ini(pytester: pytest.Pytester, line: str) -> None:
    pytester.makeini(f"[pytest]\naddopts = -p no:cacheprovider\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "python_functions = bench_*",
        "collect_imported_tests = false",
        "python_classes = Nothing",
        "python_files = bench_*.py",
        "python_functions = bench_*\ncollect_imported_tests = false\nempty_parameter_set_mark = fail_at_collect",
    ],
)
def test_no_ini_option_about_python_tests_reaches_manifests(
    suite: Suite, run: Run, pytester: pytest.Pytester, line: str
) -> None:
    suite.manifest()
    ini(pytester, line)
    run("-m", "accuracy").assert_outcomes(passed=1, deselected=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n1",)])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("norecursedirs = models", "models/linear.mlscope.yml: no item was collected*norecursedirs*"),
        ("testpaths = unit", "models/linear.mlscope.yml: no item was collected*testpaths leaves it out*"),
    ],
)
def test_manifests_that_an_ini_option_leaves_out_are_a_usage_error(
    suite: Suite, run: Run, pytester: pytest.Pytester, line: str, said: str, workers: tuple[str, ...]
) -> None:
    """The project's other tests pass, and the run would be green with no model evaluated."""
    path = suite.manifest()
    (pytester.path / "models").mkdir()
    path.rename(pytester.path / "models" / path.name)
    (pytester.path / "unit").mkdir()
    (pytester.path / "unit" / "test_unit.py").write_text("def test_unit(): pass\n")
    ini(pytester, line)
    result = run(*workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result_text = result.stdout.str() + result.stderr.str()
    assert any(part in result_text for part in [said.split("*")[0]]), result_text
    assert said.split("*")[1] in result_text


@pytest.fixture
def two_folders(suite: Suite, pytester: pytest.Pytester) -> Suite:
    """One manifest in each of two folders."""
    for name in ("kept", "legacy"):
        (pytester.path / name).mkdir()
        path = suite.manifest(name=name)
        path.write_text(path.read_text().replace("path: ", "path: ../").replace("../../", "../"))
        path.rename(pytester.path / name / path.name)
    return suite


def _text(result: pytest.RunResult) -> str:
    return " ".join((result.stdout.str() + result.stderr.str()).split())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_one_of_two_manifests_does_not_vanish_by_an_ini_option(
    two_folders: Suite, run: Run, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    ini(pytester, "norecursedirs = legacy")
    result = run("-m", "accuracy", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "legacy/legacy.mlscope.yml: this manifest was not collected ('legacy' of the ini option norecursedirs leaves "
        "it out); name it on the command line, or leave it out by --ignore"
    ) in _text(result)
    run("-m", "accuracy", "kept", "legacy", *workers).assert_outcomes(passed=2)
    run("-m", "accuracy", "--ignore=legacy", *workers).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n2",)])
@pytest.mark.parametrize("by", ["testpaths", "conftest"])
def test_what_a_conftest_or_testpaths_leaves_out_is_said(
    two_folders: Suite, run: Run, pytester: pytest.Pytester, by: str, workers: tuple[str, ...]
) -> None:
    if by == "testpaths":
        ini(pytester, "testpaths = kept")
    else:
        pytester.makeconftest("collect_ignore = ['legacy']")
    result = run("-m", "accuracy", *workers)
    result.assert_outcomes(passed=1, warnings=1)
    why = "the ini option testpaths" if by == "testpaths" else "a conftest or another ini option"
    assert f"legacy/legacy.mlscope.yml: this manifest was not collected ({why} leaves it out)" in _text(result)


@pytest.mark.parametrize(
    "options",
    [("-k", "unit"), ("-m", "not latency and not accuracy"), ("--ignore=linear.mlscope.yml",), ("test_unit.py",)],
)
def test_what_the_user_leaves_out_is_left_out(
    suite: Suite, run: Run, pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    suite.manifest()
    pytester.makepyfile(test_unit="def test_unit(): pass")
    assert run(*options).ret == pytest.ExitCode.OK


def test_options_that_no_case_agrees_with_together_are_named(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.framework("other")
    suite.manifest(name="one", frameworks=("toy",), matrix="{batch_size: [1]}")
    suite.manifest(name="two", frameworks=("other",), matrix="{batch_size: [8]}")
    pytester.makepyfile(test_unit="def test_unit(): pass")
    result = run("--mlscope-framework", "toy", "--mlscope-batch-size", "8")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no case agrees with all of --mlscope-framework=toy, --mlscope-batch-size=8; leave one of them out*"]
    )


def test_a_model_is_selected_by_its_name(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    path = suite.manifest()
    path.write_text(path.read_text().replace("name: linear", "name: tiny-net", 1))
    path.rename(path.with_name("file.mlscope.yml"))
    pytester.makepyfile(
        test_mine="""
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("file.mlscope.yml")
        def test_mine(evaluation):
            pass
        """
    )
    found = [line for line in run("--collect-only", "-q", "-k", "tiny-net").outlines if "::" in line]
    assert found == [
        "file.mlscope.yml::test_accuracy[toy]",
        "file.mlscope.yml::test_latency[toy]",
        "test_mine.py::test_mine[toy]",
    ]
    assert run("-k", "not tiny-net").ret == pytest.ExitCode.NO_TESTS_COLLECTED
