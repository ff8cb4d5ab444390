"""The median we report for the digits model, beside a bare loop and beside what other tools report."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
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
    """What we report against a bare loop, in the same process over the same session."""
    with one_cpu():
        pairs = run_subject("timed_loop", "10" if quick else "200")
    ours, bare = ([seconds * MICRO for seconds in pairs[side]] for side in ("ours", "bare"))
    return [paired("median, same session", ours, bare, unit="µs", other_is="bare loop, IOBinding", at_most=1.01)]


def _in_turn(tools: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Every tool's medians in fresh processes, all on one CPU, in turn; every other round in reverse order."""
    medians: dict[str, list[float]] = {name: [] for name in tools}
    with one_cpu():
        for turn in range(rounds):
            for name in sorted(tools, reverse=bool(turn % 2)):
                medians[name].append(tools[name]() * MICRO)
    return medians


def latency(*, quick: bool, pythons: list[str]) -> list[Row]:
    """Against the same call path, equal; against others' call path, faster."""
    ours = _subject("ours")
    same_path = "bare loop, IOBinding"
    # Held to one per cent, which is what two processes of one program differ by: that takes more rounds to tell.
    medians = _in_turn({"ours": ours, same_path: _subject("bare_loop", "iobinding")}, rounds=3 if quick else 45)
    rows = [paired("reported median", medians["ours"], medians[same_path], unit="µs", other_is=same_path, at_most=1.01)]

    candidates = [sys.executable, *pythons]
    tools: dict[str, Callable[[], float] | None] = {
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
    installed = {name: tool for name, tool in tools.items() if tool is not None}
    medians = _in_turn({"ours": ours, **installed}, rounds=3 if quick else 15)
    for name in tools:
        if name in medians:
            rows.append(
                paired("reported median", medians["ours"], medians[name], unit="µs", other_is=name, at_most=1.0)
            )
        else:
            rows.append(missing("reported median", unit="µs", other_is=name, why="not installed", at_most=1.0))
    return rows
