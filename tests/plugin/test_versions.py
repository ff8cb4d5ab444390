"""Several versions of one framework in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mlscope.api.evaluation import evaluate
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.components.registry import build_registry
from pytest_mlscope.errors import CannotRun, EnvironmentCreationError, MlscopeError
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.kinds.plugins import plugin_manager
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.settings import Settings
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]
TWO = ", version: ['1.0', '2.0']"


def test_each_version_has_its_items(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """The predictor here is version 1.0, so the other one is skipped and says which it would have to be."""
    suite.manifest(entry=TWO)
    result = run("-m", "accuracy", "-v", "--mlscope-json", "out.json")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*::test_accuracy?toy-1.0? PASSED*", "*::test_accuracy?toy-2.0? SKIPPED*"])
    result.stdout.fnmatch_lines(["*toy 1.0, the version here, does not satisfy '==2.0.*' of the manifest*"])
    rows = json.loads((pytester.path / "out.json").read_text())["evaluations"]
    assert [row["case"]["version"] for row in rows] == ["1.0", "2.0"]


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "toy-1.0"],
        ["--mlscope-framework", "toy==1.0"],
        ["--mlscope-framework", "other,toy==1.0"],
        ["-m", "accuracy and framework(name='toy', version='1.0')"],
    ],
)
def test_a_version_is_selected(suite: Suite, run: Run, options: list[str]) -> None:
    suite.framework("other")
    suite.manifest(entry=TWO, extra="kinds: [accuracy]\n")
    suite.manifest(name="more", frameworks=("other",), extra="kinds: [latency]\n", expect="{}")
    result = run("--collect-only", "-q", *options)
    assert "linear.mlscope.yml::test_accuracy[toy-1.0]" in result.stdout.str()
    assert "toy-2.0" not in result.stdout.str()


def test_a_version_that_no_case_has_is_a_usage_error(suite: Suite, run: Run) -> None:
    suite.manifest(entry=TWO)
    result = run("--mlscope-framework", "toy==1.1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no case has 'toy==1.1' (did you mean 'toy==1.0'?*; cases have: toy, toy==1.0, *"])


def test_hand_written_tests_name_versions(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest(entry=TWO)
    pytester.makepyfile(
        """
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("linear.mlscope.yml", version="1.0")
        def test_mine(evaluation):
            assert evaluation.case.version == "1.0"
            assert evaluation.accuracy["top1"] == 0.9
        """
    )
    run("test_hand_written_tests_name_versions.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("version", ["1", None, "'new'"])
def test_a_conftest_may_change_the_version(suite: Suite, run: Run, pytester: pytest.Pytester, version: Any) -> None:
    pytester.makeconftest(
        f"""
        import dataclasses, pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_mlscope_modify_cases(cases):
            cases[:] = [dataclasses.replace(case, version={version}) for case in cases]
        """
    )
    suite.manifest()
    result = run("-m", "accuracy")
    if version is None:
        result.assert_outcomes(passed=1)
    else:
        result.stdout.fnmatch_lines(["*left a case * version *; expected *or None"])


def test_evaluate_takes_the_first_version_unless_one_is_named(suite: Suite, pytester: pytest.Pytester) -> None:
    path = suite.manifest(entry=TWO)
    assert evaluate(path, kinds=["accuracy"]).case.version == "1.0"
    with pytest.raises(CannotRun, match=r"does not satisfy '==2\.0"):
        evaluate(path, version="2.0", kinds=["accuracy"])
    with pytest.raises(MlscopeError, match=r"no case with version='3'; name one of: 1\.0, 2\.0"):
        evaluate(path, version="3")


def test_what_could_not_be_made_is_not_tried_again(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving a version that there is not takes an installer its time, for each of its cases."""
    folder = suite.framework("toy")
    (folder / "requirements.lock").write_text("toyframework==1.5.0\n")
    text = (folder / "framework.yml").read_text()
    (folder / "framework.yml").write_text(text + "distributions: [toyframework]\n")
    path = suite.manifest(entry=TWO)
    manifest = load_manifest(path, build_registry(plugin_manager([]).hook, project=pytester.path))
    tried = []

    def fail(folder: FrameworkFolder, *, constraint: str | None, **_: Any) -> None:
        tried.append(constraint)
        raise EnvironmentCreationError(f"no version that satisfies {constraint}")

    monkeypatch.setattr("pytest_mlscope.hosts.model_loader.create_environment", fail)
    loader = ModelLoader(Settings(home=pytester.path / "home", timeout=60, provision=True))
    for case in [*expand(manifest), *expand(manifest)]:
        with pytest.raises(EnvironmentCreationError, match="no version that satisfies"):
            loader.environment(Plan.of(manifest, case))
    assert tried == ["==1.0.*", "==2.0.*"]
