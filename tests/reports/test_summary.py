"""The terminal summary: its layout, whatever the width and the values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from pytest_mlscope.components.check import Check
from pytest_mlscope.components.metrics.base import MetricValue
from pytest_mlscope.components.profilers.base import Reading
from pytest_mlscope.measurements.latency.restarts import summarise_restarts
from pytest_mlscope.records.record import EvaluationRecord
from tests.reports.summary_lines import column, sections_of
from tests.reports.synthetic_evaluations import accuracy, case, full_run, latency, parity, record


def test_the_summary_at_80column() -> None:
    assert sections_of(full_run()) == {
        "accuracy": [
            "  cpu · fp32 · 1 thread · batch 1 · single_stream",
            "  framework    version    top1   95% interval    n  errors  samples/s  bounds",
            "digits-cnn 1.0",
            "  onnxruntime  1.31.1   0.9711  0.9513–0.9830  450       0      1,800  passed",
            "  tensorflow   2.21.0   0.1133  0.0873–0.1459  450       3      1,800  FAILED",
        ],
        "parity": [
            "  cpu · fp32 · 1 thread · batch 1 · single_stream",
            "  against onnxruntime 1.31.1 fp32 · tolerance 0.0001 + 0.0001 × |b| (measured)",
            "  framework  version   max abs  max rel  top-1 agree  beyond    n  bounds",
            "digits-cnn 1.0",
            "  openvino   2026.4.1  8.1e-06  3.2e-04       1.0000       0  256  passed",
            "  not shown at this width: cosine, PSNR dB, top-5 agree",
        ],
        "latency": [
            "  cpu · fp32 · 1 thread · single_stream",
            "  framework    batch      p50      p90      p99  ± p50  samples/s  bounds",
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
    lines = sections_of(records, width=200)["latency"]
    assert column([line for line in lines if not line.startswith("  between:")], "between") == ["1.22%", "–"]
    assert any(line.startswith("  between: ") for line in lines)
    assert "between" not in " ".join(sections_of([record(latency=latency())], width=200)["latency"])


def test_at_a_narrow_width_a_percentile_with_a_bound_outlives_the_others() -> None:
    def shown(record_: EvaluationRecord) -> set[str]:
        header = next(line for line in sections_of([record_], width=62)["latency"] if line.startswith("  framework"))
        return {"p90", "p95", "p99"}.intersection(header.split())

    bound = [Check("p95", 13e-6, "≤ 1.00 ms", True, "p95 is 13 µs (expected ≤ 1.00 ms)")]
    assert "p95" not in shown(record(latency=latency()))
    assert "p95" in shown(record(latency=latency(), checks=bound))
    assert not {"p90", "p95", "p99"} & shown(record(latency=latency(samples=12)))


def test_a_wider_terminal_shows_more() -> None:
    header = sections_of(full_run(), width=120)["latency"][1]
    for title in ("version", "p95", "load", "peak memory"):
        assert title in header


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int, encoding: str) -> None:
    lines = [line for section in sections_of(full_run(), width=width, encoding=encoding).values() for line in section]
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
    sections = sections_of(records, width=width)
    assert all(cell_len(line) <= width for lines in sections.values() for line in lines)
    assert all(line.isprintable() for lines in sections.values() for line in lines)
    measured = [line for line in sections["latency"] if line.startswith("  ") and " ms" in line]
    assert len(measured) == len({case(**one).case.id for one in cases})


def test_names_give_way_to_a_wide_number_beside_many_of_them() -> None:
    long = "a_variant_named_at_length_by_somebody_thorough"
    common: dict[str, Any] = {"batch_size": 1024, "hardware": "cuda", "threads": 1, "precision": "framework_default"}
    wide = accuracy({"top1": MetricValue(-1_000_000.0, 1)})
    cases = [
        case(**common, framework="onnxruntime", preprocessing=long),
        case(framework="tensorflow-with-a-long-name", preprocessing="stated", threads=64),
        # Another id and the same case, so that the test's name has a column of its own.
        case(framework="onnxruntime", preprocessing=long, **common),
    ]
    lines = sections_of([record(one, accuracy=wide) for one in cases], width=80)["accuracy"]
    assert max(map(cell_len, lines)) <= 80
    assert sum("-1,000,000" in line for line in lines) == 3


def test_columns_are_aligned_whatever_their_values() -> None:
    records = [
        record(case(framework=name), latency=latency(median_ns=ns, throughput=1e9 / ns, peak_memory=memory))
        for name, ns, memory in (("opencv", 900, None), ("openvino", 123_456, 5), ("pytorch", 7_654_321_000, 10**12))
    ]
    lines = sections_of(records, width=200)["latency"]
    assert column(lines, "p50") == ["898 ns", "123 µs", "7.64 s"]
    assert column(lines, "samples/s") == ["1,111,111", "8,100", "0.1306"]
    assert column(lines, "peak memory") == ["–", "5 B", "1.00 TB"]


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    sections = sections_of(full_run(), encoding="ascii")
    assert all(line.isascii() for lines in sections.values() for line in lines)
    assert "12.2 us" in sections["latency"][3]
    assert "  top1 0.1133 (51 of 450), expected >= 0.97" in sections["failed"]


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
    assert sections_of(records)["profiler psutil"] == [
        "  cpu · fp32 · 1 thread · single_stream",
        "  framework    version  batch  cpu mean [%]  cpu peak [%]  rss mean  rss peak",
        "digits-cnn 1.0",
        "  onnxruntime  1.31.1       1         100.2         118.3   64.4 MB   65.7 MB",
        "  onnxruntime  1.31.1      32         100.2         118.3   64.4 MB   65.7 MB",
        "  not shown at this width: threads peak",
    ]
    narrow = sections_of(records, width=60)["profiler psutil"]
    assert narrow[1] == "  framework    batch  cpu mean [%]  rss mean  rss peak"
    assert sum("onnxruntime" in line for line in narrow) == 2


def test_a_long_framework_name_is_whole_while_a_column_can_go() -> None:
    name = "tensorflow-with-a-long-name"
    lines = sections_of([record(case(framework=name), latency=latency())])["latency"]
    assert any(name in line for line in lines)


def test_a_profiler_without_readings_has_no_section() -> None:
    assert "profiler nvml" not in sections_of([record(latency=latency(), readings={"nvml": []})])


def test_many_readings_are_stacked_rather_than_dropped() -> None:
    readings = {"sensors": [Reading(f"quantity {index}", "W", float(index)) for index in range(20)]}
    lines = sections_of([record(latency=latency(), readings=readings)])["profiler sensors"]
    titles = re.findall(r"quantity \d+", "\n".join(lines))
    assert titles == [f"quantity {index}" for index in range(20)]
    assert sum("onnxruntime" in line for line in lines) > 1


def test_an_inf_that_was_measured_is_shown() -> None:
    lines = sections_of([record(parity=parity(max_abs=float("inf")))])["parity"]
    assert column(lines, "max abs")[0] == "inf"


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
