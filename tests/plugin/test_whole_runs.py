"""Runs as a whole: with workers, interrupted, reported, and through the API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

import pytest_mlscope
from pytest_mlscope.errors import CannotRun, ManifestError, MlscopeError
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]


def read(pytester: pytest.Pytester, name: str = "out.json") -> dict[str, object]:
    report: dict[str, object] = json.loads((pytester.path / name).read_text())
    return report


def test_workers_bring_everything_home(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.framework("other", predict="x = -x")
    suite.manifest(frameworks=("toy", "other"))
    result = run("-n2", "--mlscope-json", "out.json")
    result.assert_outcomes(passed=3, failed=1)
    evaluations = read(pytester)["evaluations"]
    assert isinstance(evaluations, list)
    assert {(e["nodeid"].partition("::")[2], e["outcome"]) for e in evaluations} == {
        ("test_accuracy[toy]", "passed"),
        ("test_accuracy[other]", "failed"),
        ("test_latency[toy]", "passed"),
        ("test_latency[other]", "passed"),
    }
    timed = [e for e in evaluations if e["kind"] == "latency"]
    assert all(len(e["latency"]["samples_ns"]) >= 11 for e in timed)
    result.stdout.fnmatch_lines(["*latency*"])


@pytest.mark.slow
def test_a_worker_that_dies_is_no_success(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """xdist can end such a run with "no tests ran" and exit code 0."""
    pytester.makeconftest(
        """
        import os

        def pytest_collection_finish(session):
            if os.environ.get("PYTEST_XDIST_WORKER"):
                os._exit(3)
        """
    )
    suite.manifest()
    result = run("-n1", "--max-worker-restart=0")
    assert result.ret != pytest.ExitCode.OK


@pytest.mark.slow
def test_an_interrupted_run_writes_what_it_has(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("slow", predict="time.sleep(600)")
    suite.manifest(frameworks=("toy", "slow"))
    command = [sys.executable, "-m", "pytest", "--mlscope", "--mlscope-json", "out.json", "-v", "-m", "accuracy"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell without job control has its background commands ignore the signal, and so would all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    partial = pytester.path / "out.json.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    report = read(pytester)
    assert isinstance(report["run"], dict)
    assert report["run"]["interrupted"] is True
    assert isinstance(report["evaluations"], list)
    assert report["evaluations"][0]["outcome"] == "passed"


@pytest.mark.slow
def test_a_killed_run_leaves_its_journal(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("slow", predict="time.sleep(600)")
    suite.manifest(frameworks=("toy", "slow"))
    command = [sys.executable, "-m", "pytest", "--mlscope", "--mlscope-json", "out.json", "-m", "accuracy"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    partial = pytester.path / "out.json.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads(partial.read_text().splitlines()[0])["outcome"] == "passed"


def test_junit_properties_name_the_numbers(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest()
    run("--junitxml", "junit.xml")
    properties = {
        (case.attrib["name"], each.attrib["name"]): each.attrib["value"]
        for case in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
        for each in case.iter("property")
    }
    assert properties["test_accuracy[toy]", "mlscope.top1"] == "0.9"
    assert float(properties["test_latency[toy]", "mlscope.p50_ms"]) > 0


def test_a_report_that_cannot_be_written_at_the_end_is_an_error(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        "import os\ndef pytest_runtest_setup(item): os.path.isdir('out.json') or os.mkdir('out.json')\n"
    )
    suite.manifest()
    result = run("--mlscope-json", "out.json", "-m", "accuracy")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*ERROR: *out.json*"])
    assert (pytester.path / "out.json.partial").stat().st_size


@pytest.mark.slow
def test_the_api_returns_the_same_evaluation(suite: Suite) -> None:
    path = suite.manifest(matrix="{batch_size: [1, 8]}")
    evaluation = pytest_mlscope.evaluate(path, framework="toy", batch_size=8)
    assert evaluation.accuracy is not None
    assert evaluation.accuracy["top1"] == 0.9
    assert evaluation.accuracy.n == 40
    assert evaluation.accuracy.predictions.predicted.shape == (40,)
    assert evaluation.latency is not None
    assert evaluation.latency.p50 is not None
    assert evaluation.latency.throughput > 0
    assert evaluation.provenance["framework"]["version"] == "1.0"
    assert pytest_mlscope.evaluate(path, framework="toy", batch_size=8, kinds=["accuracy"]).key == evaluation.key
    assert pytest_mlscope.evaluate(path, framework="toy", kinds=["accuracy"]).key != evaluation.key


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity(2)")
def test_the_api_restarts_and_pins(suite: Suite) -> None:
    cpu = max(os.sched_getaffinity(0))
    evaluation = pytest_mlscope.evaluate(
        suite.manifest(),
        framework="toy",
        kinds=["latency"],
        settings=pytest_mlscope.EvaluationSettings(restarts=2, affinity=[cpu]),
    )
    assert evaluation.latency is not None
    assert evaluation.latency.restarts is not None
    assert len(evaluation.latency.restarts.processes) == 2
    assert evaluation.provenance["host"]["affinity"] == [cpu]


def test_the_api_says_what_is_wrong(suite: Suite) -> None:
    path = suite.manifest(frameworks=("toy",))
    with pytest.raises(MlscopeError, match=r"no case with framework='none'.*name one of: toy"):
        pytest_mlscope.evaluate(path, framework="none")
    with pytest.raises(MlscopeError, match="unknown kind 'speed'; allowed: accuracy, parity, latency"):
        pytest_mlscope.evaluate(path, kinds=["speed"])
    with pytest.raises(ManifestError, match="absent"):
        pytest_mlscope.evaluate(suite.folder / "absent.mlscope.yml")
    suite.framework("toy", load="raise Unsupported('not on Mondays')")
    with pytest.raises(CannotRun, match="not on Mondays"):
        pytest_mlscope.evaluate(path)


@pytest.mark.slow
def test_progress_is_shown_while_output_is_captured(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a pipe, where stdout is buffered: what is written while capturing is off must leave before it goes on."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    folder = suite.framework("lacking")
    with (folder / "framework.yml").open("a") as file:
        file.write("distributions: [no-such-framework]\n")
    (folder / "requirements.lock").write_text("no-such-framework==1.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    suite.manifest(frameworks=("lacking",))
    result = pytester.runpytest_subprocess("--mlscope", "--mlscope-provision", "-m", "accuracy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["mlscope: lacking: installing 1 package*", "*no-such-framework*"])


@pytest.mark.slow
def test_a_python_that_is_not_here_is_a_skip_even_when_provisioning(suite: Suite, pytester: pytest.Pytester) -> None:
    """An environment that cannot be made is what this machine lacks; one whose creation fails is a failure."""
    folder = suite.framework("ancient")
    described = (folder / "framework.yml").read_text()
    (folder / "framework.yml").write_text(f'{described}distributions: [ancient]\npython: "<3.2"\n')
    (folder / "requirements.lock").write_text("ancient==1.0\n")
    suite.manifest(frameworks=("ancient",))
    result = pytester.runpytest_subprocess("--mlscope", "--mlscope-provision", "-m", "accuracy")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*ancient: no Python <3.2 here*"])
    strict = pytester.runpytest_subprocess("--mlscope", "--mlscope-provision", "--mlscope-strict", "-m", "accuracy")
    strict.assert_outcomes(failed=1)


def test_a_case_that_several_tests_look_at_is_evaluated_once(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """An evaluation may take an hour; a second assertion on it must not take another."""
    suite.framework("toy", predict="with open('calls', 'a') as f:\n    f.write('x')")
    suite.manifest(matrix="{batch_size: [40]}")
    pytester.makepyfile(
        test_more="""
        from pytest_mlscope import mlscope_cases

        @mlscope_cases("linear.mlscope.yml")
        def test_one(evaluation):
            assert evaluation.accuracy["top1"] == 0.9

        @mlscope_cases("linear.mlscope.yml")
        def test_two(evaluation):
            assert evaluation.accuracy.n == 40
        """
    )
    run("-k", "accuracy or one or two").assert_outcomes(passed=3)
    # Of all rows; of another number of rows, which shows where the batch is; and two of the first rows, which show
    # whether the model differs from itself.
    assert (pytester.path / "calls").read_text() == "xxxx"


REPEATS = """
import pytest

def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("__repeat_step")
    metafunc.parametrize("__repeat_step", range(3), indirect=True, ids=["1-3", "2-3", "3-3"])

@pytest.fixture
def __repeat_step(request):
    return request.param
"""


@pytest.mark.parametrize("options", [(), ("--mlscope-against", "model:linear.mlscope.yml")])
def test_copies_of_an_item_are_measured_one_by_one(
    suite: Suite, run: Run, pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    """Three equal lines of one measurement would look like one that is perfectly repeatable."""
    suite.framework("toy", predict="with open('calls', 'a') as f:\n    f.write('x')")
    suite.manifest(matrix="{batch_size: [40]}")
    pytester.makeconftest(REPEATS)
    result = run("-m", "accuracy", "--mlscope-json", "out.json", *options)
    result.assert_outcomes(passed=3)
    # Each time one prediction of all rows, and two of the first ones; before, one of another number of rows.
    assert (pytester.path / "calls").read_text() == "x" + "xxx" * 3
    evaluations = read(pytester)["evaluations"]
    assert isinstance(evaluations, list)
    assert len({each["nodeid"] for each in evaluations}) == 3
    assert len({each["accuracy"]["seconds"] for each in evaluations}) == 3


def test_a_test_with_parameters_of_its_own_looks_at_one_evaluation(
    suite: Suite, run: Run, pytester: pytest.Pytester
) -> None:
    suite.framework("toy", predict="with open('calls', 'a') as f:\n    f.write('x')")
    suite.manifest(matrix="{batch_size: [40]}")
    pytester.makepyfile(
        test_more="""
        import pytest
        from pytest_mlscope import mlscope_cases

        @pytest.mark.parametrize("bound", [0.5, 0.8])
        @mlscope_cases("linear.mlscope.yml")
        def test_one(evaluation, bound):
            assert evaluation.accuracy["top1"] > bound
        """
    )
    run("test_more.py").assert_outcomes(passed=2)
    # As above.
    assert (pytester.path / "calls").read_text() == "xxxx"


@pytest.mark.slow
def test_every_worker_of_dist_each_has_its_result(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    suite.manifest()
    result = run("--dist", "each", "--tx", "2*popen", "-m", "accuracy", "--mlscope-json", "out.json")
    result.assert_outcomes(passed=2)
    evaluations = read(pytester)["evaluations"]
    assert isinstance(evaluations, list)
    assert sorted(each["nodeid"] for each in evaluations) == [
        "linear.mlscope.yml::test_accuracy[toy]@gw0",
        "linear.mlscope.yml::test_accuracy[toy]@gw1",
    ]


@pytest.mark.slow
def test_a_selection_of_nothing_is_a_usage_error_with_workers_too(suite: Suite, run: Run) -> None:
    suite.manifest()
    result = run("-n1", "--mlscope-framework", "toi")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: --mlscope-framework: no case has 'toi' (did you mean 'toy'?)*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_an_item_that_runs_again_is_evaluated_again(suite: Suite, run: Run, pytester: pytest.Pytester) -> None:
    """Rerunning what failed is worth nothing when the old result is looked at again."""
    suite.framework("toy", predict="with open('calls', 'a') as f:\n    f.write('x')")
    suite.manifest(matrix="{batch_size: [40]}")
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    run("-m", "accuracy").assert_outcomes(passed=1)
    # The host stays, with what it saw of the batch as it loaded the model.
    assert (pytester.path / "calls").read_text() == "x" + "xxx" * 2
