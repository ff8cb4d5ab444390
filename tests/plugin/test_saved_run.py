"""``--mlscope-against run.json``: a saved run as the baseline; restarts and affinity, which it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pytest_mlscope.reports.json_report import json_schema
from tests.plugin.linear_suite import Suite

BUSY = """\
end = time.perf_counter() + {seconds}
while time.perf_counter() < end: pass
"""
EXPECT = "{accuracy: {top1: {min: 0.1}}, parity: {reference: toy, abs: 1.0e-6}}"


def _run(pytester: pytest.Pytester, name: str, *options: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result = pytester.runpytest_inprocess("--mlscope", f"--mlscope-json={name}", *options)
    path = pytester.path / name
    report = json.loads(path.read_text()) if path.exists() else {}
    if report:
        Draft202012Validator(json_schema()).validate(report)
    return result, report


def _said(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def _of(report: dict[str, Any], kind: str) -> dict[str, Any]:
    (record,) = (each for each in report["evaluations"] if each["kind"] == kind)
    return dict(record)


@pytest.fixture
def saved(suite: Suite, pytester: pytest.Pytester) -> Callable[..., dict[str, Any]]:
    """Saves a run of a model that predicts in 50 µs."""

    def save(*options: str) -> dict[str, Any]:
        suite.framework("toy", predict=BUSY.format(seconds=0.00005))
        suite.manifest(expect=EXPECT)
        result, report = _run(pytester, "saved.json", *options)
        assert result.ret == 0
        return report

    return save


def test_the_same_model_is_no_regression(saved: Callable[..., Any], suite: Suite, pytester: pytest.Pytester) -> None:
    saved()
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json")
    assert result.ret == 0
    latency = _of(report, "latency")["comparison"]
    assert latency["outcome"] in ("pass", "inconclusive")
    assert "separate runs, so only differences beyond 57% count" in latency["messages"][0]
    assert _of(report, "accuracy")["comparison"]["outcome"] == "pass"
    assert "against saved.json (a saved run: separate runs" in _said(result)
    assert " separate runs: only differences of latency beyond 57% count " in _said(result)


def test_only_a_large_difference_is_a_regression(
    saved: Callable[..., Any], suite: Suite, pytester: pytest.Pytester
) -> None:
    saved("-k", "latency")
    suite.framework("toy", predict=BUSY.format(seconds=0.0005))
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", "latency")
    assert result.ret == 1
    comparison = _of(report, "latency")["comparison"]
    assert comparison["outcome"] == "regression"
    latency = comparison["latency"]
    (before,), (now,) = (latency["separate_runs"][f"{side}_medians"] for side in ("baseline", "candidate"))
    assert latency["ratio"] == pytest.approx(now / before)
    assert comparison["latency"]["ratio"] > 2
    assert "times that of saved.json" in _said(result)


def test_too_few_calls_for_a_median_are_a_regression_all_the_same(
    saved: Callable[..., Any], suite: Suite, pytester: pytest.Pytester
) -> None:
    saved("-k", "latency")
    suite.framework("toy", predict=BUSY.format(seconds=0.02))
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", "latency")
    assert _of(report, "latency")["latency"]["percentiles"]["p50"] is None
    assert result.ret == 1
    comparison = _of(report, "latency")["comparison"]
    assert comparison["outcome"] == "regression"
    assert "latency is at least " in comparison["messages"][0]


@pytest.mark.slow
def test_accuracy_is_compared_row_by_row(saved: Callable[..., Any], suite: Suite, pytester: pytest.Pytester) -> None:
    saved("-k", "accuracy")
    suite.framework("toy", predict="x = -x")
    suite.manifest(expect=EXPECT.replace("0.1", "0.0"))
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", "accuracy")
    assert result.ret == 1
    counts = _of(report, "accuracy")["comparison"]["accuracy"]
    assert counts["only_baseline_right"] > 20
    assert counts["outcome"] == "regression"


def _not_compared(pytester: pytest.Pytester, kind: str = "accuracy") -> str:
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", kind)
    assert result.ret == 1, "nothing was compared"
    assert result.parseoutcomes()["passed"] == 1
    comparison = _of(report, kind)["comparison"]
    assert comparison["outcome"] == "not compared"
    (message,) = comparison["messages"]
    return str(message)


def test_queries_of_other_sizes_are_not_compared(suite: Suite, pytester: pytest.Pytester) -> None:
    def queries(rows: int) -> None:
        scenarios = f"scenarios: {{multi_stream: {{samples_per_query: {rows}}}}}\n"
        suite.manifest(expect="{}", matrix="{scenario: [multi_stream]}", extra=scenarios)

    queries(4)
    _run(pytester, "saved.json", "-k", "latency")
    queries(8)
    said = "a query of 4 rows then and a query of 8 rows now, so their latencies do not compare"
    assert _not_compared(pytester, "latency") == f"not compared with saved.json: {said}"


def test_a_latency_of_other_shapes_is_never_compared(
    saved: Callable[..., Any], suite: Suite, pytester: pytest.Pytester
) -> None:
    report = saved("-k", "latency")
    latency = next(each for each in report["evaluations"] if each["kind"] == "latency")["latency"]
    latency["shapes"] = {"features": [[1, 9]]}
    Path("saved.json").write_text(json.dumps(report))
    text = Path("linear.mlscope.yml").read_text()
    assert "[batch, 4]" in text
    Path("linear.mlscope.yml").write_text(text.replace("[batch, 4]", "[batch, wide]"))
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", "latency")
    said = "input 'features' was 1 × 9 then and is 1 × 4 now, so their latencies do not compare"
    assert _of(report, "latency")["comparison"]["messages"][0].endswith(said)
    assert result.ret == 1


@pytest.mark.slow
def test_other_hardware_is_never_compared(saved: Callable[..., Any], pytester: pytest.Pytester) -> None:
    report = json.dumps(saved("-k", "accuracy"))
    for fact in ("cpu_model", "usable_cores", "cpu_identity"):
        elsewhere = json.loads(report)
        _of(elsewhere, "accuracy")["provenance"]["hardware"]["machine"][fact] = "another"
        Path("saved.json").write_text(json.dumps(elsewhere))
        message = _not_compared(pytester)
        assert message.startswith("not compared with saved.json: not comparable, it ran on other hardware (")
        assert "another, here " in message


def test_another_cpu_quota_is_another_machine_for_times_alone(
    saved: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    report = saved()
    for record in report["evaluations"]:
        record["provenance"]["hardware"]["machine"]["cpu_quota"] = 0.37
    Path("saved.json").write_text(json.dumps(report))
    _, now = _run(pytester, "now.json", "--mlscope-against=saved.json")
    (message,) = _of(now, "latency")["comparison"]["messages"]
    assert "it ran on other hardware (CPU quota: 0.37 CPUs, here " in message
    assert _of(now, "accuracy")["comparison"]["outcome"] == "pass"


@pytest.mark.slow
def test_a_run_without_the_case_is_said_so(saved: Callable[..., Any], pytester: pytest.Pytester) -> None:
    report = saved("-k", "latency")
    assert _not_compared(pytester) == "not compared with saved.json: the saved run has no accuracy of this case"
    _of(report, "latency")["case"]["batch_size"] = 2
    Path("saved.json").write_text(json.dumps(report))
    lacking = "not compared with saved.json: the saved run has"
    assert _not_compared(pytester) == f"{lacking} linear toy with batch_size 2, not 1"
    _of(report, "latency")["case"]["model"] = "another"
    Path("saved.json").write_text(json.dumps(report))
    assert _not_compared(pytester) == f"{lacking} no case linear toy"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            '{"schema": 1, "run": null, "evaluations": [',
            "ends in the middle: it is not a whole report of --mlscope-json",
        ),
        ('{"schema": 1, "evaluations": ["cut', "ends in the middle: it is not a whole report of --mlscope-json"),
        ("", "ends in the middle: it is not a whole report of --mlscope-json"),
        ("not json", "is not a report of --mlscope-json (no JSON at line 1)"),
        ("[1, 2]", "is not a report of --mlscope-json (it lacks schema or evaluations)"),
        ('{"schema": 2, "evaluations": []}', "is a report of schema 2, and this version reads 1; save a new one"),
        ('{"schema": 1, "evaluations": [{"case": 1}]}', "is malformed at /evaluations/0: lacks nodeid; save a new one"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_saved_run_is_one_line(
    suite: Suite, pytester: pytest.Pytester, content: str | None, line: str
) -> None:
    suite.manifest()
    if content is not None:
        Path("saved.json").write_text(content)
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-against=saved.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mlscope-against: saved.json: {line}" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


@pytest.mark.slow
def test_a_report_under_another_name_is_a_saved_run(saved: Callable[..., Any], pytester: pytest.Pytester) -> None:
    saved("-k", "accuracy")
    Path("saved.json").rename("monday")
    result, report = _run(pytester, "now.json", "--mlscope-against=monday", "-k", "accuracy")
    assert result.ret == 0
    assert _of(report, "accuracy")["comparison"]["against"] == "monday"


@pytest.mark.slow
def test_a_latency_of_several_hosts_tells_their_spread(saved: Callable[..., Any], pytester: pytest.Pytester) -> None:
    latency = _of(saved("-k", "latency", "--mlscope-restarts", "3"), "latency")["latency"]
    restarts = latency["restarts"]
    medians = [process["median"] for process in restarts["processes"]]
    assert len(medians) == 3
    assert sorted(medians)[1] == medians[restarts["shown"]]
    assert latency["percentiles"]["p50"] == pytest.approx(medians[restarts["shown"]], rel=0.01)
    assert (restarts["fastest"], restarts["slowest"]) == (min(medians), max(medians))
    assert restarts["spread"] >= 0


@pytest.mark.slow
def test_each_restart_is_a_process_of_its_own(suite: Suite, pytester: pytest.Pytester) -> None:
    suite.framework("toy", load="open(os.path.join(os.path.dirname(__file__), 'pids'), 'a').write('%d ' % os.getpid())")
    suite.manifest(extra="", expect="{}")
    path = suite.folder / "linear.mlscope.yml"
    path.write_text(path.read_text().replace("measurement: {", "measurement: {restarts: 3, "))
    result, report = _run(pytester, "now.json", "-k", "latency")
    assert result.ret == 0
    pids = (suite.folder / "frameworks" / "toy" / "pids").read_text().split()
    assert len(set(pids)) >= 3
    assert len(_of(report, "latency")["latency"]["restarts"]["processes"]) == 3
    assert "between" in result.stdout.str()


def test_without_restarts_there_is_one_process(saved: Callable[..., Any]) -> None:
    assert _of(saved("-k", "latency"), "latency")["latency"]["restarts"] is None


needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity(2)")


@needs_affinity
def test_a_host_is_pinned_and_it_is_recorded(saved: Callable[..., Any]) -> None:
    cpu = max(os.sched_getaffinity(0))
    host = _of(saved("-k", "accuracy", f"--mlscope-affinity={cpu}"), "accuracy")["provenance"]["host"]
    assert host["affinity"] == [cpu]
    assert host["cpus"] == [cpu]


@needs_affinity
def test_by_default_affinity_is_inherited(saved: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    host = _of(saved("-k", "accuracy"), "accuracy")["provenance"]["host"]
    assert host["affinity"] == "inherited"
    assert host["cpus"] == sorted(os.sched_getaffinity(0))
    assert host["thread_variables"]["OMP_PROC_BIND"] == "close"


@needs_affinity
def test_a_manifest_may_pin_and_a_machine_without_those_cpus_cannot_run_it(
    suite: Suite, pytester: pytest.Pytester
) -> None:
    path = suite.manifest()
    whole = path.read_text()
    cpu = min(os.sched_getaffinity(0))
    path.write_text(whole.replace("measurement: {", f'measurement: {{affinity: "{cpu}", '))
    _, report = _run(pytester, "now.json", "-k", "accuracy")
    assert _of(report, "accuracy")["provenance"]["host"]["cpus"] == [cpu]
    path.write_text(whole.replace("measurement: {", 'measurement: {affinity: "9000-9001", '))
    result, report = _run(pytester, "now.json", "-k", "accuracy")
    result.assert_outcomes(skipped=1, deselected=1)
    assert "measurement.affinity: CPU 9000-9001 is not usable here; usable: " in _of(report, "accuracy")["reason"]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--mlscope-affinity=90000", "*--mlscope-affinity: CPU 90000 is not usable here; usable: *"),
        ("--mlscope-affinity=3-1", "*'3-1': the range 3-1 runs backwards*"),
        ("--mlscope-affinity=all", "*'all' is not a list of CPUs; expected numbers and ranges, such as 0-3,6*"),
        ("--mlscope-restarts=0", "*'0' is not a whole number from 1 to 1000*"),
        ("--mlscope-restarts=few", "*'few' is not a whole number from 1 to 1000*"),
    ],
)
def test_wrong_options_are_one_line(suite: Suite, pytester: pytest.Pytester, option: str, line: str) -> None:
    suite.manifest()
    result = pytester.runpytest_inprocess("--mlscope", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])


CLOSENESS = """\
import pytest
from pytest_mlscope import per_sample_metric

@pytest.hookimpl(optionalhook=True)
def pytest_mlscope_register_metrics():
    return [per_sample_metric("small", lambda outputs, labels: outputs.max(axis=1) < 0.9999)]
"""


@pytest.mark.slow
def test_a_metric_of_ones_own_that_collapses_is_seen_beside_a_saved_run(
    suite: Suite, pytester: pytest.Pytester
) -> None:
    (suite.folder / "conftest.py").write_text(CLOSENESS)
    expect = "{accuracy: {top1: {min: 0.1}}}"
    suite.manifest(metrics="[top1, small]", expect=expect)
    _, report = _run(pytester, "saved.json", "-k", "accuracy")
    saved = _of(report, "accuracy")["accuracy"]
    assert saved["metrics"]["small"]["higher_is_better"] is True
    assert len(saved["row_values"]["small"]) == len(saved["predictions"]["rows"])
    # The largest score stays the largest, so that top-1 sees nothing.
    np.save(suite.folder / "weights.npy", np.load(suite.folder / "weights.npy") * 1000)
    suite.manifest(metrics="[top1, small]", expect=expect)
    result, report = _run(pytester, "now.json", "--mlscope-against=saved.json", "-k", "accuracy")
    compared = _of(report, "accuracy")["comparison"]
    assert result.ret == 1
    assert (compared["outcome"], compared["left_open"]) == ("regression", [])
    assert compared["failed_with"][0].startswith("small is 0, ")
    # Each outcome is that of the figures beside it.
    assert compared["metrics"]["small"]["outcome"] == "regression"
    assert compared["metrics"]["small"]["candidate"] == 0
    assert (compared["accuracy"]["outcome"], compared["accuracy"]["changed"]) == ("pass", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a["row_values"]["top1"].pop(), "/accuracy/row_values/top1: it has 39 values for 40 rows"),
        (lambda a: a["row_values"].update(top1=[]), "/accuracy/row_values/top1: it has 0 values for 40 rows"),
        (
            lambda a: a["row_values"]["top1"].__setitem__(0, None),
            "/accuracy/row_values/top1: expected 0 or 1 for each row",
        ),
        (lambda a: a["metrics"].clear(), "/accuracy/metrics: it lacks 'top1', which has values of rows"),
        (
            lambda a: a["metrics"]["top1"].update(value=0.1),
            "/accuracy/metrics/top1/value: it is 0.1, but the values of its rows give 0.9",
        ),
    ],
)
def test_a_saved_run_that_contradicts_itself_is_malformed(
    suite: Suite, pytester: pytest.Pytester, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    suite.manifest()
    _, report = _run(pytester, "saved.json", "-m", "accuracy")
    change(_of(report, "accuracy")["accuracy"])
    Path("saved.json").write_text(json.dumps(report))
    result = pytester.runpytest_inprocess("--mlscope", "--mlscope-against=saved.json", "-m", "accuracy")
    assert result.ret == 4
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert f"saved.json: is malformed at /evaluations/0{said}; save a new one" in text


OWN = CLOSENESS.replace("outputs.max(axis=1) < 0.9999", "outputs.max(axis=1)")
QUANTITIES = "[mean_absolute_error, root_mean_squared_error]"


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mean_absolute_error", "root_mean_squared_error", "small"])
def test_a_saved_value_that_its_rows_do_not_give_is_refused(
    suite: Suite, pytester: pytest.Pytester, metric: str
) -> None:
    (suite.folder / "conftest.py").write_text(OWN)
    manifest = suite.manifest(metrics=QUANTITIES, expect="{}")
    manifest.write_text(manifest.read_text().replace("softmax, axis: -1}]", "softmax, axis: -1}, {step: argmax}]"))
    if metric == "small":
        suite.manifest(metrics="[small]", expect="{}")
    _, report = _run(pytester, "saved.json", "-m", "accuracy")
    options = ("--mlscope-against=saved.json", "-m", "accuracy")
    _run(pytester, "now.json", *options)[0].assert_outcomes(passed=1, deselected=1)
    _of(report, "accuracy")["accuracy"]["metrics"][metric]["value"] *= 1.01
    Path("saved.json").write_text(json.dumps(report))
    result, _ = _run(pytester, "now.json", *options)
    result.assert_outcomes(failed=1, deselected=1)
    assert f"saved.json: contradicts itself: {metric} is " in _said(result)
    assert "but the values of its rows give " in _said(result)
