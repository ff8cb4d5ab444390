"""The median we report for the digits model, beside a bare loop and beside what other tools report."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.fresh_process import ROOT, interpreter_with, one_cpu, run_command, run_subject
from benchmarks.table import Row, missing, paired

MICRO = 1e6


def _pytest_benchmark() -> float:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "benchmark.json")
        configuration = Path(folder, "pytest.ini")
        configuration.write_text("[pytest]\n")
        cases = ROOT / "benchmarks" / "subjects" / "pytest_benchmark_cases.py"
        options = ["-p", "no:mlscope", "-p", "no:cacheprovider", "-c", str(configuration)]
        run_command([sys.executable, "-m", "pytest", "-q", *options, f"--benchmark-json={report}", str(cases)])
        return float(json.loads(report.read_text())["benchmarks"][0]["stats"]["median"])


def _subject(name: str, *arguments: str, python: str = sys.executable) -> Callable[[], float]:
    return lambda: float(run_subject(name, *arguments, python=python)["median"])


def timed_loop(*, quick: bool) -> list[Row]:
    """Our loop against a bare one, in the same process over the same bound call."""
    pairs = run_subject("timed_loop", "10" if quick else "60")
    ours, bare = ([seconds * MICRO for seconds in pairs[side]] for side in ("ours", "bare"))
    return [paired("timed loop, one process", ours, bare, unit="µs", other_is="bare loop", at_most=1.01)]


def latency(*, quick: bool, pythons: list[str]) -> list[Row]:
    """Every tool in fresh processes, all on one CPU, in turn, several rounds; every other round in reverse order."""
    candidates = [sys.executable, *pythons]
    tools: dict[str, Callable[[], float] | None] = {
        "ours": _subject("ours"),
        "bare loop, IOBinding": _subject("bare_loop", "iobinding"),
        "bare loop, session.run": _subject("bare_loop", "run"),
        "pytest-benchmark, session.run": (
            _pytest_benchmark if interpreter_with("pytest_benchmark", [sys.executable]) else None
        ),
    }
    for name, module, subject in (
        ("torch.utils.benchmark, session.run", "torch", "torch_timer"),
        ("MLPerf LoadGen, session.run", "mlperf_loadgen", "loadgen"),
    ):
        python = interpreter_with(module, candidates)
        tools[name] = _subject(subject, python=python) if python else None
    medians: dict[str, list[float]] = {name: [] for name, tool in tools.items() if tool}
    with one_cpu():
        for turn in range(3 if quick else 15):
            for name in sorted(medians, reverse=bool(turn % 2)):
                tool = tools[name]
                if tool is not None:
                    medians[name].append(tool() * MICRO)
    rows = []
    for name in list(tools)[1:]:
        # Against the same call path, equal; against others' call path, faster.
        target = {"at_most": 1.01 if name.endswith("IOBinding") else 1.0}
        if name in medians:
            rows.append(paired("reported median", medians["ours"], medians[name], unit="µs", other_is=name, **target))
        else:
            rows.append(missing("reported median", unit="µs", other_is=name, why="not installed", **target))
    return rows
