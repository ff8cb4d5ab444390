from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.evaluation.restarts import summarise_restarts
from pytest_mlscope.evaluation.results import InputShift
from pytest_mlscope.gate.check import Check
from pytest_mlscope.gate.comparison import Comparison
from pytest_mlscope.reports.terminal import Summary
from tests.reports.synthetic_evaluations import accuracy, case, full_run, latency, parity, record


def _sections(records: list[dict[str, Any]], *, width: int = 80, **options: Any) -> dict[str, list[str]]:
    summary = Summary(width=width, **options)
    return {title: [line.plain for line in lines] for title, lines in summary.sections(records)}


def _columns(lines: list[str], title: str) -> list[str]:
    """The cells under a right-aligned title, which must end where the title ends."""
    header = next(line for line in lines if f" {title} " in f"{line} ")
    end = header.index(f" {title}") + 1 + len(title)
    below = lines[lines.index(header) + 1 :]
    cells = []
    for line in below:
        if line.startswith("  ") and not line.startswith(("  input shift:", "  not shown")):
            assert len(line) <= end or line[end] == " ", f"{line!r} runs across the end of {title!r}"
            cells.append(line[:end].rsplit("  ", 1)[-1])
    return cells


def test_the_summary_at_80_columns() -> None:
    assert _sections(full_run()) == {
        "accuracy": [
            "  cpu · fp32 · 1 thread · batch 1 · single_stream",
            "  framework    version    top1   95% interval    n  errors  samples/s  verdict",
            "digits-cnn 1.0",
            "  onnxruntime  1.31.1   0.9711  0.9513–0.9830  450       0      1,800  passed",
            "  tensorflow   2.21.0   0.1133  0.0873–0.1459  450       3      1,800  FAILED",
        ],
        "parity": [
            "  cpu · fp32 · 1 thread · batch 1 · single_stream",
            "  against onnxruntime 1.31.1 fp32 · tolerance 0.0001 + 0.0001 × |b| (measured)",
            "  framework  version   max abs  max rel  top-1 agree  beyond    n  verdict",
            "digits-cnn 1.0",
            "  openvino   2026.4.1  8.1e-06  3.2e-04       1.0000       0  256  passed",
            "  not shown at this width: cosine, PSNR dB, top-5 agree",
        ],
        "latency": [
            "  cpu · fp32 · 1 thread · single_stream",
            "  framework    batch      p50      p90      p99  ± p50  samples/s  verdict",
            "digits-cnn 1.0",
            "  onnxruntime      1  12.2 µs  12.7 µs  13.0 µs  0.42%     81,967  no bound",
            "  onnxruntime      8  97.5 µs   101 µs   104 µs  0.42%     81,967  no bound",
            "resnet50 1.0",
            "  onnxruntime      1  8.10 ms     n<64    n<662  0.42%     81,967  no bound",
            "  n<N: the percentile needs at least N calls",
            "  not shown at this width: version, p95, load, peak memory, calls",
        ],
        "profiler nvml": ["  not available: no NVIDIA driver (2 cases)"],
        "profiler psutil": [
            "  cpu · fp32 · 1 thread · single_stream",
            "  framework    version  batch  cpu [%]  threads  resident memory",
            "digits-cnn 1.0",
            "  onnxruntime  1.31.1       1     99.7        3           210 MB",
            "  onnxruntime  1.31.1       8     99.7        3           210 MB",
        ],
        "could not run": ["  pytorch: not installed here — 4 tests; to enable: mlscope env create pytorch"],
        "failed, as expected": [
            "  opencv_dnn: OpenCV 4.14 cannot load this graph: its importer does not know the",
            "    layer — 1 test",
        ],
        "failed": [
            "digits-cnn tensorflow accuracy",
            "  top1 0.1133 (51 of 450), expected ≥ 0.97",
            "inception_v2 tensorflow latency",
            "  predictor host killed by SIGSEGV; last output:",
        ],
    }


def test_the_spread_between_processes_stands_beside_the_one_within() -> None:
    restarts = summarise_restarts([latency(median_ns=median) for median in (12_000, 12_500, 12_100)])
    records = [record(latency=latency(restarts=restarts)), record(case(batch_size=8), latency=latency())]
    lines = _sections(records, width=200)["latency"]
    assert _columns([line for line in lines if not line.startswith("  between:")], "between") == ["1.22%", "–"]
    assert any(line.startswith("  between: ") for line in lines)
    assert "between" not in " ".join(_sections([record(latency=latency())], width=200)["latency"])


def test_at_a_narrow_width_a_percentile_with_a_bound_outlives_the_others() -> None:
    def shown(record_: dict[str, Any]) -> set[str]:
        header = next(line for line in _sections([record_], width=62)["latency"] if line.startswith("  framework"))
        return {"p90", "p95", "p99"}.intersection(header.split())

    bound = [Check("p95", 13e-6, "≤ 1.00 ms", True, "p95 is 13 µs (expected ≤ 1.00 ms)")]
    assert "p95" not in shown(record(latency=latency()))
    assert "p95" in shown(record(latency=latency(), checks=bound))
    assert not {"p90", "p95", "p99"} & shown(record(latency=latency(samples=12)))


def test_a_wider_terminal_shows_more() -> None:
    header = _sections(full_run(), width=120)["latency"][1]
    for title in ("version", "p95", "load", "peak memory"):
        assert title in header


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int, encoding: str) -> None:
    lines = [line for section in _sections(full_run(), width=width, encoding=encoding).values() for line in section]
    assert max(cell_len(line) for line in lines) <= width


dimensions = st.fixed_dictionaries(
    {
        "framework": st.sampled_from(["onnxruntime", "tensorflow-with-a-long-name-of-its-own", "模型框架"]),
        "hardware": st.sampled_from(["cpu", "cuda"]),
        "precision": st.sampled_from(["fp32", "framework_default"]),
        "threads": st.sampled_from([1, 64, "framework_default"]),
        "batch_size": st.sampled_from([1, 1024]),
        "preprocessing": st.sampled_from(["stated", "a_variant_named_at_length_by_somebody_thorough"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    cases=st.lists(dimensions, min_size=1, max_size=6),
    width=st.integers(80, 160),
    value=st.floats(),
    reason=st.text(max_size=200),
)
def test_whatever_was_measured_fits_80_columns_and_keeps_its_numbers(
    cases: list[dict[str, Any]], width: int, value: float, reason: str
) -> None:
    """Long names, wide characters, several varying dimensions and odd values must neither widen a table nor cut one of
    its numbers: p50 is looked for in every row."""
    records = [
        record(case("a-model-" + "with-a-long-name-" * 5, **one), accuracy=accuracy({"top1": MetricValue(value, 1)}))
        for one in cases
    ]
    records += [record(case(**one), latency=latency(64, median_ns=12_345_678)) for one in cases]
    records += [record(case(**one), parity=parity(max_abs=value, mismatch=reason)) for one in cases]
    records += [record(case(**one), outcome="skipped", reason=reason) for one in cases]
    sections = _sections(records, width=width)
    assert all(cell_len(line) <= width for lines in sections.values() for line in lines)
    assert all(line.isprintable() for lines in sections.values() for line in lines)
    measured = [line for line in sections["latency"] if line.startswith("  ") and " ms" in line]
    assert len(measured) == len({str(one) for one in cases})


def test_columns_are_aligned_whatever_their_values() -> None:
    records = [
        record(case(framework=name), latency=latency(median_ns=ns, throughput=1e9 / ns, peak_memory=memory))
        for name, ns, memory in (("opencv", 900, None), ("openvino", 123_456, 5), ("pytorch", 7_654_321_000, 10**12))
    ]
    lines = _sections(records, width=200)["latency"]
    assert _columns(lines, "p50") == ["898 ns", "123 µs", "7.64 s"]
    assert _columns(lines, "samples/s") == ["1,111,111", "8,100", "0.1306"]
    assert _columns(lines, "peak memory") == ["–", "5 B", "1.00 TB"]


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    sections = _sections(full_run(), encoding="ascii")
    assert all(line.isascii() for lines in sections.values() for line in lines)
    assert "12.2 us" in sections["latency"][3]
    assert "  top1 0.1133 (51 of 450), expected >= 0.97" in sections["failed"]


def test_framework_output_cannot_steer_the_terminal() -> None:
    reason = "broken\x1b[2J\x07 model \u202egnp.exe"
    line = _sections([record(outcome="failed", reason=reason)])["failed"][1]
    assert line == "  broken?[2J? model ?gnp.exe"


def test_more_rows_than_anyone_reads_are_left_out_and_counted() -> None:
    records = [record(case(batch_size=size), latency=latency(4)) for size in range(1, 101)]
    lines = _sections(records)["latency"]
    assert sum("onnxruntime" in line for line in lines) == 60
    assert lines[-1] == "  … and 40 more (-v shows all; --mlscope-json has every row)"
    assert sum("onnxruntime" in line for line in _sections(records, rows=None)["latency"]) == 100


def test_reasons_are_told_once_with_their_count_most_frequent_first() -> None:
    def skipped(framework: str, reason: str) -> dict[str, Any]:
        return record(case(framework=framework), outcome="skipped", reason=reason)

    assert _sections(
        [
            skipped("opencv", "needs scikit-learn; to enable: pip install 'pytest-mlscope[sklearn]'"),
            skipped("pytorch", "PyTorch is not installed here"),
            skipped("opencv", "no NVIDIA driver"),
            skipped("pytorch", "no NVIDIA driver"),
            skipped("pytorch", "no NVIDIA driver"),
        ],
        width=100,
    )["could not run"] == [
        "  opencv, pytorch: no NVIDIA driver — 3 tests",
        "  PyTorch is not installed here — 1 test",
        "  opencv: needs scikit-learn — 1 test; to enable: pip install 'pytest-mlscope[sklearn]'",
    ]


def test_a_long_command_stays_one_that_can_be_copied() -> None:
    command = "mlscope env create pytorch " + " ".join(f"--option-{number}=value" for number in range(6))
    lines = _sections([record(outcome="skipped", reason=f"not installed; to enable: {command}")])["could not run"]
    assert lines[0] == "  onnxruntime: not installed — 1 test"
    pasted = "\n".join(lines[1:]).replace("\\\n", " ").split("to enable:")[1]
    assert pasted.split() == command.split()


BY_HAND = "test_digits.py::test_{}[onnxruntime]"


@pytest.mark.parametrize("outcomes", [("passed", "failed"), ("failed", "passed")])
@pytest.mark.parametrize("kind", ["test", "accuracy"])
@pytest.mark.parametrize("first", [True, False])
def test_the_verdict_is_that_of_the_manifests_own_test(outcomes: tuple[Any, Any], kind: str, first: bool) -> None:
    """Hand-written tests share its evaluation, marked with its kind or not: one row, whichever ran first."""
    own, by_hand = outcomes
    check = Check("top1", 0.97, "≥ 0.97", own == "passed", "top1")
    records = [
        record(kind="accuracy", accuracy=accuracy(), outcome=own, checks=[check]),
        record(kind=kind, nodeid=BY_HAND.format("it"), accuracy=accuracy(), outcome=by_hand),
    ]
    lines = _sections(records if first else records[::-1])["accuracy"]
    verdict = {"passed": "passed", "failed": "FAILED"}[own]
    assert [line.split()[-1] for line in lines if "onnxruntime" in line] == [verdict]


def test_what_only_hand_written_tests_looked_at_has_no_verdict() -> None:
    """Neither theirs nor `no bound`: the manifest may well have one, whose test was not among those that ran."""
    by_hand = [
        record(kind="test", nodeid=BY_HAND.format(outcome), accuracy=accuracy(), outcome=outcome)
        for outcome in ("passed", "failed", "xfailed")
    ]
    lines = _sections(by_hand)["accuracy"]
    assert not any("verdict" in line for line in lines)
    assert sum("onnxruntime" in line for line in lines) == 1

    judged = record(case(batch_size=8), kind="accuracy", accuracy=accuracy())
    lines = _sections([*by_hand, judged])["accuracy"]
    assert [line.endswith("no bound") for line in lines if "onnxruntime" in line] == [False, True]


def test_a_hand_written_test_that_failed_goes_by_its_name() -> None:
    nodeid = "suite/test_digits.py::TestSpeed::test_wrong[onnxruntime-a::b[c]]"
    for kind in ("test", "accuracy"):
        lines = _sections([record(kind=kind, nodeid=nodeid, outcome="failed", reason="assert 1 > 2")])["failed"]
        assert lines == ["digits-cnn onnxruntime test_wrong", "  assert 1 > 2"]


def test_failures_for_one_reason_are_told_once() -> None:
    reason = "Failed: not installed here; to enable: mlscope env create pytorch"
    records = [
        record(case(framework="pytorch", batch_size=size), kind=kind, outcome="failed", reason=reason)
        for kind in ("accuracy", "latency")
        for size in (1, 32, 64)
    ][:5]
    records.append(record(outcome="failed", reason="predictor host killed by SIGSEGV"))
    told = ["  not installed here; to enable: mlscope env create pytorch"]
    other = ["digits-cnn onnxruntime latency", "  predictor host killed by SIGSEGV"]
    one_by_one = [f"digits-cnn pytorch-{size} {kind}" for kind in ("accuracy", "latency") for size in (1, 32, 64)][:5]
    assert _sections(records)["failed"] == [*one_by_one[:3], "… and 2 more tests", *told, *other]
    assert _sections(records, rows=None)["failed"] == [*one_by_one, *told, *other]
    # The line that says "1 more" has room for its name.
    assert _sections([*records[:4], records[-1]])["failed"] == [*one_by_one[:4], *told, *other]


def _compared(*quantities: str, outcome: Any = "regression", reason: str | None = None) -> dict[str, Any]:
    messages = tuple(f"{quantity} is 2.000 times that of HEAD" for quantity in quantities)
    reason = reason or "\n".join(f"digits-cnn on onnxruntime: {message}" for message in messages)
    return record(outcome="failed", reason=f"Failed: {reason}", comparison=Comparison("HEAD", outcome, messages))


def test_every_reason_for_a_failure_is_told_without_the_name_that_stands_above() -> None:
    lines = ["  latency is 2.000 times that of HEAD", "  load time is 2.000 times that of HEAD"]
    compared = _compared("latency", "load time")
    assert _sections([compared])["failed"] == ["digits-cnn onnxruntime latency", *lines]
    bound = Check("p50", 0.02, "≤ 10 ms", passed=False, message="p50 is 20 ms (expected ≤ 10 ms)")
    both = {**compared, "checks": [asdict(bound)]}
    assert _sections([both])["failed"][1:] == ["  p50 is 20 ms (expected ≤ 10 ms)", *lines]
    # Where the comparison is not why it failed, it is none of the reasons.
    other = _compared("latency", outcome="inconclusive", reason="digits-cnn on onnxruntime: p50 is 20 ms")
    assert _sections([other])["failed"][1:] == ["  p50 is 20 ms"]


def test_a_command_that_makes_a_baseline_comparable_can_be_copied() -> None:
    command = "mlscope env create onnxruntime==1.30"
    message = f"not compared with onnxruntime 1.30: onnxruntime 1.30 has no environment here; to enable: {command}"
    compared = record(comparison=Comparison("onnxruntime 1.30", "not compared", (message,)))
    lines = _sections([compared])["against onnxruntime 1.30"]
    assert lines[-1] == f"    to enable: {command}"
    assert lines[-2].endswith("(1 test)")


def test_each_mistake_in_a_baselines_manifest_has_its_line() -> None:
    message = "not compared with HEAD: HEAD:a.mlscope.yml:1:9: schema is wrong\nHEAD:a.mlscope.yml:4:1: unknown key"
    facts = Comparison("HEAD", "not compared", (message,))
    compared = record(outcome="failed", reason=f"Failed: digits-cnn on onnxruntime: {message}", comparison=facts)
    sections = _sections([compared], width=100)
    first, second = message.splitlines()
    assert sections["against HEAD"] == [f"  {first} (1 test)", f"  {second}"]
    assert sections["failed"][1:] == [f"  {first}", f"  {second}"]


def test_a_footnote_stands_only_below_what_it_explains() -> None:
    footnote = "  n<N: the percentile needs at least N calls"
    records = [record(latency=latency(400)), record(case(batch_size=8), latency=latency(400))]
    narrow, wide = (_sections(records, width=width)["latency"] for width in (45, 120))
    assert "n<" in " ".join(wide[:-1])
    assert footnote in wide
    assert "n<" not in " ".join(narrow)


def test_one_row_too_many_is_shown() -> None:
    records = [record(case(batch_size=size), latency=latency(4)) for size in range(1, 62)]
    assert sum("onnxruntime" in line for line in _sections(records)["latency"]) == 61


def test_the_same_result_from_two_tests_is_one_row() -> None:
    """Evaluating accuracy again gives the same figures; only how long it took differs."""
    results = [replace(accuracy(), seconds=seconds) for seconds in (0.2, 0.3)]
    records = [record(kind="test", nodeid=f"t.py::test_{r.seconds}", accuracy=r) for r in results]
    assert sum("onnxruntime" in line for line in _sections(records)["accuracy"]) == 1


def test_a_case_that_two_tests_timed_has_the_tests_beside_it() -> None:
    records = [
        record(nodeid="digits.mlscope.yml::test_latency[onnxruntime]", latency=latency(median_ns=12_200)),
        record(nodeid="test_digits.py::test_fast[onnxruntime]", kind="test", latency=latency(median_ns=13_900)),
    ]
    lines = _sections(records)["latency"]
    assert [line.split()[:2] for line in lines[1:2]] == [["framework", "test"]]
    assert [line.split()[1] for line in lines if "onnxruntime" in line] == ["test_latency", "test_fast"]


def test_a_sensor_that_some_cases_lack_is_named() -> None:
    def readings(power: float | None) -> dict[str, list[Reading]]:
        note = "" if power else "not available: no permission"
        return {"nvml": [Reading("utilisation", "%", 50.0), Reading("power", "W", power, note)]}

    records = [
        record(case(batch_size=size), latency=latency(), readings=readings(power))
        for size, power in ((1, 75.0), (8, None))
    ]
    lines = _sections(records)["profiler nvml"]
    assert _columns(lines[:-1], "power [W]") == ["75", "–"]
    assert lines[-1] == "  power not available: no permission (1 case)"


@pytest.mark.parametrize(
    ("outcome", "checks", "verdict"),
    [
        ("passed", [Check("p50", 1e-5, "≤ 1 ms", True, "fine")], "passed"),
        ("passed", [], "no bound"),
        ("failed", [Check("p50", 1e-5, "≤ 1 ns", False, "slow")], "FAILED"),
        ("xfailed", [], "xfailed"),
        ("error", [], "ERROR"),
    ],
)
def test_measured_without_an_expectation_is_not_called_passed(outcome: Any, checks: list[Check], verdict: str) -> None:
    lines = _sections([record(outcome=outcome, checks=checks, latency=latency())])["latency"]
    assert next(line for line in lines if "onnxruntime" in line).endswith(verdict)


def test_models_of_different_tasks_have_tables_of_their_own() -> None:
    records = [
        record(case("digits"), accuracy=accuracy()),
        record(case("wine"), accuracy=accuracy({"r2": MetricValue(0.91, 89), "mae": MetricValue(12.345, 89)})),
    ]
    summary = Summary(width=80)
    tables = [[line.plain for line in lines] for title, lines in summary.sections(records) if title == "accuracy"]
    assert len(tables) == 2
    assert _columns(tables[1], "mae") == ["12.35"]


def test_one_table_shows_how_far_each_variant_moves_the_input() -> None:
    records = [
        record(case(), accuracy=accuracy()),
        record(case(preprocessing="bgr"), accuracy=accuracy(input_shift=InputShift(0.0213, 0.84))),
        record(case(preprocessing="big"), accuracy=accuracy(input_shift=InputShift(0.0, 0.0, shape_differs=True))),
    ]
    lines = _sections(records)["accuracy"]
    assert _columns(lines, "input shift")[:3] == ["–", "0.0213", "shape"]
    assert [line.split()[1] for line in lines if "onnxruntime" in line] == ["stated", "bgr", "big"]


def test_models_with_one_row_each_are_a_column() -> None:
    lines = _sections([record(case(name), latency=latency()) for name in ("alexnet", "resnet50")], width=120)["latency"]
    assert [line.split()[0] for line in lines[1:4]] == ["model", "alexnet", "resnet50"]


def test_peaks_give_way_before_a_frameworks_name_is_cut() -> None:
    readings = [
        Reading("cpu mean", "%", 100.2),
        Reading("cpu peak", "%", 118.3),
        Reading("threads peak", "", 3.0),
        Reading("rss mean", "B", 64.4e6),
        Reading("rss peak", "B", 65.7e6),
    ]
    records = [
        record(case(framework="onnxruntime", batch_size=size), latency=latency(), readings={"psutil": readings})
        for size in (1, 32)
    ]
    assert _sections(records)["profiler psutil"] == [
        "  cpu · fp32 · 1 thread · single_stream",
        "  framework    version  batch  cpu mean [%]  cpu peak [%]  rss mean  rss peak",
        "digits-cnn 1.0",
        "  onnxruntime  1.31.1       1         100.2         118.3   64.4 MB   65.7 MB",
        "  onnxruntime  1.31.1      32         100.2         118.3   64.4 MB   65.7 MB",
        "  not shown at this width: threads peak",
    ]
    narrow = _sections(records, width=60)["profiler psutil"]
    assert narrow[1] == "  framework    batch  cpu mean [%]  rss mean  rss peak"
    assert sum("onnxruntime" in line for line in narrow) == 2


def test_a_long_framework_name_is_whole_while_a_column_can_go() -> None:
    name = "tensorflow-with-a-long-name"
    lines = _sections([record(case(framework=name), latency=latency())])["latency"]
    assert any(name in line for line in lines)


def test_a_profiler_without_readings_has_no_section() -> None:
    assert "profiler nvml" not in _sections([record(latency=latency(), readings={"nvml": []})])


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
    remark = "p50 is known to worse than 1%: 3 cases (the budget ended first; measurement.budget)"
    assert (f"  {remark}" in _sections(records, width=120)["latency"]) == told


def test_warnings_that_differ_in_a_number_are_one_remark() -> None:
    warnings = [
        ("not steady after 1.2 s of warm-up", "peak memory is since the host started"),
        ("not steady after 1 s of warm-up",),
        ("not steady after 1.1e+02 s of warm-up",),
        ("peak memory is since the host started",),
    ]
    records = [record(case(batch_size=i + 1), latency=latency(warnings=each)) for i, each in enumerate(warnings)]
    assert _sections(records)["latency"][-3:] == [
        "  not steady after 1–1.1e+02 s of warm-up (3 cases)",
        "  peak memory is since the host started (2 cases)",
        "  not shown at this width: version, p95, load, peak memory, calls",
    ]


def test_many_readings_are_stacked_rather_than_dropped() -> None:
    readings = {"sensors": [Reading(f"quantity {index}", "W", float(index)) for index in range(20)]}
    lines = _sections([record(latency=latency(), readings=readings)])["profiler sensors"]
    titles = re.findall(r"quantity \d+", "\n".join(lines))
    assert titles == [f"quantity {index}" for index in range(20)]
    assert sum("onnxruntime" in line for line in lines) > 1


def test_an_inf_that_was_measured_is_shown() -> None:
    lines = _sections([record(parity=parity(max_abs=float("inf")))])["parity"]
    assert _columns(lines, "max abs")[0] == "inf"


CONFTEST = """
import pickle, pathlib
from pytest_mlscope.reports.terminal import write_summary
def pytest_terminal_summary(terminalreporter):
    records = pickle.loads(pathlib.Path("records").read_bytes())
    write_summary(terminalreporter, records, verbose=terminalreporter.config.get_verbosity())
"""


@pytest.mark.parametrize("colour", ["yes", "no"])
def test_through_pytest_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, colour: str) -> None:
    import pickle

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    pytester.makeconftest(CONFTEST)
    (pytester.path / "records").write_bytes(pickle.dumps(full_run()))
    result = pytester.runpytest(f"--color={colour}", "-p", "no:cacheprovider")
    output = result.stdout.str()
    assert ("\x1b[" in output) == (colour == "yes")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert re.search(r"^=+ mlscope =+$", plain, flags=re.MULTILINE)
    assert re.search(r"^-+ accuracy -+$", plain, flags=re.MULTILINE)
    assert "  onnxruntime      1  12.2 µs  12.7 µs  13.0 µs  0.42%     81,967  no bound\n" in plain


def test_nothing_evaluated_prints_nothing(pytester: pytest.Pytester) -> None:
    import pickle

    pytester.makeconftest(CONFTEST)
    (pytester.path / "records").write_bytes(pickle.dumps([]))
    assert "mlscope ==" not in pytester.runpytest("-p", "no:cacheprovider").stdout.str()


def test_models_of_one_name_are_told_apart_by_their_manifests() -> None:
    """A copied manifest keeps its name; its rows must not pass for those of the original, even in another table."""

    def of(folder: str, **parts: Any) -> dict[str, Any]:
        copied = case()
        path = Path(f"/suites/{folder}/digits.mlscope.yml")
        copied = replace(copied, manifest=replace(copied.manifest, path=path))
        return record(copied, nodeid=f"{folder}/digits.mlscope.yml::test", **parts)

    tables = _sections([of("new", latency=latency()), of("old/a", latency=latency(), accuracy=accuracy())], width=120)
    names = ["digits-cnn 1.0 (new/digits.mlscope.yml)", "digits-cnn 1.0 (old/a/digits.mlscope.yml)"]
    latencies = "\n".join(tables["latency"])
    assert all(name in latencies for name in names)
    assert names[1] in "\n".join(tables["accuracy"])
    alone = _sections([of("new", latency=latency()), of("new", latency=latency(800, median_ns=99))], width=120)
    assert "mlscope.yml" not in "\n".join(alone["latency"])


def test_two_versions_stand_in_one_table() -> None:
    """The older one first, by number: 1.9 is before 1.20."""
    records = [
        record(case(version=version, batch_size=32), version=full, latency=latency())
        for version, full in (("1.20", "1.20.1"), ("1.31", "1.31.1"), ("1.9", "1.9.0"))
    ]
    lines = _sections(records)["latency"]
    assert lines[1].split()[:2] == ["framework", "version"]
    assert [line.split()[1] for line in lines[3:6]] == ["1.9.0", "1.20.1", "1.31.1"]


def test_what_a_framework_chose_is_shown() -> None:
    precisions = [("int8", "int8"), ("framework_default", "bf16"), ("fp32", "fp32"), ("framework_default", None)]
    records = [
        record(case(framework=f"f{index}", precision=asked), resolved=resolved, latency=latency())
        for index, (asked, resolved) in enumerate(precisions)
    ]
    lines = _sections(records, width=120)["latency"]
    start = lines[1].index("precision")
    assert [line[start:].partition("  ")[0] for line in lines[3:7]] == ["int8", "default (bf16)", "fp32", "default"]
    (alone,) = [_sections([records[1]])["latency"][0]]
    assert "default (bf16)" in alone
