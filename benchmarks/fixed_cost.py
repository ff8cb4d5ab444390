"""What a latency case costs beside loading its model, its warm-up and its window, on a host that is warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.digits_manifest import write_manifest
from benchmarks.fresh_process import ROOT, SubjectError, environment, interpreter_with
from benchmarks.table import Row

# Notes the wall time of each item, from before its set-up to after its tear-down with all its reports made.
CONFTEST = """\
import json, os, time
import pytest

seconds = []

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    start = time.perf_counter()
    result = yield
    seconds.append(time.perf_counter() - start)
    return result

def pytest_unconfigure():
    with open(os.environ["ITEM_SECONDS"], "w") as file:
        json.dump(seconds, file)
"""


def _item_seconds(folder: Path, *arguments: str, **variables: str) -> list[float]:
    notes = folder / "seconds.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment(ITEM_SECONDS=str(notes), **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SubjectError(
            f"pytest {' '.join(arguments)}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
        )
    return [float(seconds) for seconds in json.loads(notes.read_text())]


def fixed_cost(*, quick: bool) -> list[Row]:
    """Wall time of an item less the model's load, its warm-up and its window; no case can use another's model."""
    n = 8 if quick else 40
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "conftest.py").write_text(CONFTEST)
        write_manifest(folder, batch_sizes=list(range(1, n + 1)), kinds=["latency"])
        report = folder / "report.json"
        items = _item_seconds(folder, "--mlscope", f"--mlscope-json={report}", "digits.mlscope.yml")
        latencies = [evaluation["latency"] for evaluation in json.loads(report.read_text("utf-8"))["evaluations"]]
        parts = ("load_seconds", "warmup_seconds", "window_seconds")
        measured = [sum(latency[part] for part in parts) for latency in latencies]
        if len(items) != n or len(measured) != n:
            raise SubjectError(f"{n} cases, but {len(items)} items and {len(measured)} measured windows")
        # The first case starts the host.
        ours_total = median(items[1:])
        ours_fixed = median(item - seconds for item, seconds in zip(items[1:], measured[1:]))
        fixed: dict[str, Any] = {
            "ours_at_most": 10.0,
            "note": f"median of {n - 1} cases on a warm host, beyond load, warm-up and window",
        }
        what, whole, other_is = "fixed cost a case", "whole latency case", "pytest-benchmark, whole case"
        if not interpreter_with("pytest_benchmark", [sys.executable]):
            return [
                Row(what, ours_fixed * 1e3, None, "ms", other_is, **fixed),
                Row(whole, ours_total, None, "s", other_is, note="not installed"),
            ]
        cases = str(ROOT / "benchmarks" / "subjects" / "pytest_benchmark_cases.py")
        others = _item_seconds(
            folder, "-p", "no:mlscope", f"--rootdir={folder}", "--confcutdir", str(folder), "-p", "conftest", cases,
            CASES="3" if quick else "15", PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)]),
        )  # fmt: skip
        # Its first case makes the session and warms it up.
        other = median(others[1:])
    return [
        Row(what, ours_fixed * 1e3, other * 1e3, "ms", other_is, ratio=ours_fixed / other, **fixed),
        Row(whole, ours_total, other, "s", other_is, ratio=ours_total / other),
    ]
