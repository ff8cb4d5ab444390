"""What a conftest can add and watch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mlscope import hookspecs
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
DOCUMENT = Path(__file__).parents[2] / "docs" / "hooks.md"


def hook_names() -> list[str]:
    return [name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)]


@pytest.mark.parametrize("name", hook_names())
def test_every_hook_is_documented(name: str) -> None:
    """With when it runs, in which process, and whether a conftest may implement it."""
    section = DOCUMENT.read_text("utf-8").partition(f"### `{name}")[2].partition("\n### ")[0]
    assert re.search(r"^\| when \|", section, re.MULTILINE), name
    assert re.search(r"^\| process \|", section, re.MULTILINE), name
    assert re.search(r"^\| conftest \|", section, re.MULTILINE), name
    for parameter in inspect.signature(getattr(hookspecs, name)).parameters:
        assert f"`{parameter}`" in section, parameter


@pytest.mark.slow
def test_the_documented_conftest_adds_a_metric_a_profiler_and_a_framework(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    """Its code is taken from the page, so that the page cannot be wrong."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    conftest = blocks[0]
    assert "def pytest_mlscope_register_frameworks" in conftest
    assert len(conftest.splitlines()) <= 40
    pytester.makeconftest(conftest)
    suite.framework("mine", parent="my_frameworks")
    suite.manifest(frameworks=("toy", "mine"), metrics="[top1, confidence]")
    result = run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*confidence*", "*mine*0.9000*", "*profiler load*"])


def test_a_conftest_of_another_folder_adds_nothing(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("elsewhere")
    (folder / "conftest.py").write_text(
        "import pytest\n"
        "from pytest_mlscope import per_sample_metric\n"
        "@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_register_metrics():\n"
        "    return [per_sample_metric('mine', lambda outputs, labels: labels * 0)]\n"
    )
    (folder / "test_nothing.py").write_text("def test_nothing(): pass\n")
    suite.manifest(metrics="[top1, mine]")
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*unknown metric 'mine'*"])


def test_a_conftest_wins_over_what_is_built_in(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """That of the rootdir too, which pytest loads before the plugin registers anything."""
    pytester.makeconftest(
        "import pytest\n"
        "from pytest_mlscope import per_sample_metric\n"
        "@pytest.hookimpl(optionalhook=True)\n"
        "def pytest_mlscope_register_metrics():\n"
        "    return [per_sample_metric('top1', lambda outputs, labels: labels * 0 + 0.25)]\n"
    )
    suite.manifest(metrics="[top1]")
    result = run("-m", "accuracy")
    result.stdout.fnmatch_lines(["*toy*0.2500*"])


def test_cases_can_be_modified(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import dataclasses, pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_modify_cases(config, manifest, cases):
            assert manifest.name == "linear"
            cases[:] = [case for case in cases if case.batch_size != 8]
            cases.append(dataclasses.replace(cases[0], batch_size=5, id="toy-five"))
        """
    )
    suite.manifest(matrix="{batch_size: [1, 8]}")
    result = run("--collect-only", "-q", "-m", "latency")
    assert [line for line in result.outlines if "::" in line] == [
        "linear.mlscope.yml::test_latency[toy-b1]",
        "linear.mlscope.yml::test_latency[toy-five]",
    ]


def test_windows_evaluations_and_reports_are_announced(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import os, pytest

        def note(line):
            with open("notes", "a") as file:
                file.write(line + "\\n")

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_measured_window_opens(window):
            os.kill(window.host_pid, 0)
            note(f"opens {window.device} {window.case_id}")

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_measured_window_closes(window):
            note("closes")

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_evaluation_made(evaluation):
            note("made " + ("accuracy" if evaluation.accuracy else "latency"))

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_write_reports(run, evaluations):
            note(f"reports {len(evaluations)}")
            return "a line of mine"
        """
    )
    suite.manifest(expect="{accuracy: {top1: {min: 0.99}}}")
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["a line of mine"])
    notes = (pytester.path / "notes").read_text().splitlines()
    assert notes == ["made accuracy", "opens cpu toy", "closes", "made latency", "reports 2"]


@pytest.mark.parametrize(
    ("hook", "returned", "said"),
    [
        ("metrics", "[3]", "returned 3; expected Metrics"),
        ("frameworks", "['x']", "returned 'x'; expected FrameworkFolders"),
    ],
)
def test_a_hook_that_returns_something_else_is_named(
    suite: Suite, run: Run, pytester: pytest.Pytester, hook: str, returned: str, said: str
) -> None:
    pytester.makeconftest(
        f"""
        import pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_register_{hook}():
            return {returned}
        """
    )
    suite.manifest()
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*pytest_mlscope_register_{hook}*{said}*"])


def test_a_report_writer_that_fails_loses_nothing_and_is_not_silent(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_write_reports(run, evaluations):
            raise OSError("disk full")
        """
    )
    suite.manifest()
    result = run("--mlscope-json", "out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*disk full*"])
    assert (pytester.path / "out.json").exists()
