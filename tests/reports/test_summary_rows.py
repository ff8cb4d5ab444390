"""The terminal summary: which rows and tables there are, and what is remarked below them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.measurements.accuracy.result import InputShift
from pytest_mlscope.measurements.evaluation import MeasuredColumn, OtherMeasurement
from pytest_mlscope.measurements.latency.result import RateTrial
from pytest_mlscope.records.record import EvaluationRecord
from pytest_mlscope.reports.terminal import Summary
from tests.gate.test_server_verdict import server
from tests.reports.summary_lines import column, sections_of
from tests.reports.synthetic_evaluations import accuracy, case, latency, record


def test_more_rows_than_anyone_reads_are_left_out_and_counted() -> None:
    records = [record(case(batch_size=size), latency=latency(4)) for size in range(1, 101)]
    lines = sections_of(records)["latency"]
    assert sum("onnxruntime" in line for line in lines) == 60
    assert lines[-1] == "  … and 40 more (-v shows all; --mlscope-json has every row)"
    assert sum("onnxruntime" in line for line in sections_of(records, rows=None)["latency"]) == 100


def test_a_footnote_stands_only_below_what_it_explains() -> None:
    footnote = "  n<N: the percentile needs at least N calls"
    records = [record(latency=latency(400)), record(case(batch_size=8), latency=latency(400))]
    narrow, wide = (sections_of(records, width=width)["latency"] for width in (45, 120))
    assert "n<" in " ".join(wide[:-1])
    assert footnote in wide
    assert "n<" not in " ".join(narrow)


def test_one_row_too_many_is_shown() -> None:
    records = [record(case(batch_size=size), latency=latency(4)) for size in range(1, 62)]
    assert sum("onnxruntime" in line for line in sections_of(records)["latency"]) == 61


def test_the_same_result_from_two_tests_is_one_row() -> None:
    """Evaluating accuracy again gives the same figures; only how long it took differs."""
    results = [replace(accuracy(), seconds=seconds) for seconds in (0.2, 0.3)]
    records = [record(kind="test", nodeid=f"t.py::test_{r.seconds}", accuracy=r) for r in results]
    assert sum("onnxruntime" in line for line in sections_of(records)["accuracy"]) == 1


def test_a_case_that_two_tests_timed_has_the_tests_beside_it() -> None:
    records = [
        record(nodeid="digits.mlscope.yml::test_latency[onnxruntime]", latency=latency(median_ns=12_200)),
        record(nodeid="test_digits.py::test_fast[onnxruntime]", kind="test", latency=latency(median_ns=13_900)),
    ]
    lines = sections_of(records)["latency"]
    assert [line.split()[:2] for line in lines[1:2]] == [["framework", "test"]]
    assert [line.split()[1] for line in lines if "onnxruntime" in line] == ["test_latency", "test_fast"]


def test_a_sensor_that_some_cases_lack_is_named() -> None:
    def readings(power: float | None) -> dict[str, list[Reading]]:
        note = "" if power else "no permission"
        return {"nvml": [Reading("utilisation", "%", 50.0), Reading("power", "W", power, note)]}

    records = [
        record(case(batch_size=size), latency=latency(), readings=readings(power))
        for size, power in ((1, 75.0), (8, None))
    ]
    lines = sections_of(records)["profiler nvml"]
    assert column(lines[:-1], "power [W]") == ["75", "–"]
    assert lines[-1] == "  power not available: no permission (1 case)"


def test_models_of_different_tasks_have_tables_of_their_own() -> None:
    records = [
        record(case("digits"), accuracy=accuracy()),
        record(case("wine"), accuracy=accuracy({"r2": MetricValue(0.91, 89), "mae": MetricValue(12.345, 89)})),
    ]
    summary = Summary(width=80)
    tables = [[line.plain for line in lines] for title, lines in summary.sections(records) if title == "accuracy"]
    assert len(tables) == 2
    assert column(tables[1], "mae") == ["12.35"]


def test_one_table_shows_how_far_each_variant_moves_the_input() -> None:
    records = [
        record(case(), accuracy=accuracy()),
        record(case(preprocessing="bgr"), accuracy=accuracy(input_shift=InputShift(0.0213, 0.84))),
        record(case(preprocessing="big"), accuracy=accuracy(input_shift=InputShift(0.0, 0.0, shape_differs=True))),
    ]
    lines = sections_of(records)["accuracy"]
    assert column(lines, "input shift")[:3] == ["–", "0.0213", "shape"]
    assert [line.split()[1] for line in lines if "onnxruntime" in line] == ["stated", "bgr", "big"]


def test_models_with_one_row_each_are_a_column() -> None:
    lines = sections_of([record(case(name), latency=latency()) for name in ("alexnet", "resnet50")], width=120)[
        "latency"
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["model", "alexnet", "resnet50"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"stop_reason": "budget", "relative_error": 0.0101}, True),
        ({"stop_reason": "budget", "relative_error": None}, True),
        ({"stop_reason": "budget", "relative_error": 0.01}, False),
        ({"stop_reason": "steady", "relative_error": 0.0099}, False),
    ],
)
def test_a_median_less_sure_than_wanted_is_remarked(facts: dict[str, Any], told: bool) -> None:
    records = [record(case(batch_size=size), latency=latency(**facts)) for size in (1, 2, 3)]
    remark = "p50 is uncertain by more than 1%: 3 cases (the budget ended first; measurement.budget)"
    assert (f"  {remark}" in sections_of(records, width=120)["latency"]) == told


def test_warnings_that_differ_in_a_number_are_one_remark() -> None:
    warnings = [
        ("not steady after 1.2 s of warm-up", "peak memory is since the host started"),
        ("not steady after 1 s of warm-up",),
        ("not steady after 1.1e+02 s of warm-up",),
        ("peak memory is since the host started",),
    ]
    records = [record(case(batch_size=i + 1), latency=latency(warnings=each)) for i, each in enumerate(warnings)]
    assert sections_of(records)["latency"][-3:] == [
        "  not steady after 1–1.1e+02 s of warm-up (3 cases)",
        "  peak memory is since the host started (2 cases)",
        "  not shown at this width: version, p95, load, peak memory, calls",
    ]


def test_models_of_one_name_are_told_apart_by_their_manifests() -> None:
    """A copied manifest keeps its name; its rows must not pass for those of the original, even in another table."""

    def of(folder: str, **parts: Any) -> EvaluationRecord:
        copied = case()
        path = Path(f"/suites/{folder}/digits.mlscope.yml")
        copied = replace(copied, manifest=replace(copied.manifest, path=path))
        return record(copied, nodeid=f"{folder}/digits.mlscope.yml::test", **parts)

    tables = sections_of([of("new", latency=latency()), of("old/a", latency=latency(), accuracy=accuracy())], width=120)
    names = ["digits-cnn 1.0 (new/digits.mlscope.yml)", "digits-cnn 1.0 (old/a/digits.mlscope.yml)"]
    latencies = "\n".join(tables["latency"])
    assert all(name in latencies for name in names)
    assert names[1] in "\n".join(tables["accuracy"])
    alone = sections_of([of("new", latency=latency()), of("new", latency=latency(800, median_ns=99))], width=120)
    assert "mlscope.yml" not in "\n".join(alone["latency"])


def test_two_versions_stand_in_one_table() -> None:
    """The older one first, by number: 1.9 is before 1.20."""
    records = [
        record(case(version=version, batch_size=32), version=full, latency=latency())
        for version, full in (("1.20", "1.20.1"), ("1.31", "1.31.1"), ("1.9", "1.9.0"))
    ]
    lines = sections_of(records)["latency"]
    assert lines[1].split()[:2] == ["framework", "version"]
    assert [line.split()[1] for line in lines[3:6]] == ["1.9.0", "1.20.1", "1.31.1"]


def test_what_a_framework_chose_is_shown() -> None:
    precisions = [("int8", "int8"), ("framework_default", "bf16"), ("fp32", "fp32"), ("framework_default", None)]
    records = [
        record(case(framework=f"f{index}", precision=asked), resolved=resolved, latency=latency())
        for index, (asked, resolved) in enumerate(precisions)
    ]
    lines = sections_of(records, width=120)["latency"]
    start = lines[1].index("precision")
    assert [line[start:].partition("  ")[0] for line in lines[3:7]] == ["int8", "default (bf16)", "fp32", "default"]
    (alone,) = [sections_of([records[1]])["latency"][0]]
    assert "default (bf16)" in alone


def test_a_further_kind_of_measurement_has_a_table_of_its_columns() -> None:
    columns = [MeasuredColumn("joules", "energy", "J"), MeasuredColumn("peak", "peak", "B"), MeasuredColumn("on", "on")]
    measured = [
        OtherMeasurement({"joules": 3.5, "peak": 2e6, "on": True, "hidden": "x"}, columns),
        OtherMeasurement({"joules": None}, columns),
    ]
    records = [
        record(case(batch_size=size), kind="energy", measurements={"energy": each})
        for size, each in zip((1, 8), measured)
    ]
    lines = sections_of(records)["energy"]
    assert column(lines, "energy [J]") == ["3.5", "–"]
    assert column(lines, "peak") == ["2.00 MB", "–"]
    assert column(lines, "on") == ["yes", "–"]
    assert "hidden" not in "\n".join(lines)


def test_a_metric_of_which_less_is_better_says_so() -> None:
    values = {"r2": MetricValue(0.9, 89, higher_is_better=True), "mae": MetricValue(12.3, 89, higher_is_better=False)}
    lines = sections_of([record(accuracy=accuracy(values))])["accuracy"]
    assert "  mae: lower is better" in lines
    assert "r2: lower" not in "\n".join(lines)


def test_a_search_that_its_budget_ended_is_remarked() -> None:
    trial = RateTrial(10.0, confirming=False, queries=5, latency=0.1, unanswered=0, met=True)
    searched = server(trial, budget_ended=60.0)
    lines = sections_of([record(case(scenario="server"), latency=latency(server=searched))], width=120)["latency"]
    assert "  server: search_budget (60.0 s) ended before a rate was confirmed: 1 case" in lines
