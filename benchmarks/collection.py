"""Collecting many cases, beside as many trivial parametrized tests."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fresh_process import run_command
from benchmarks.table import Row, paired

MANIFEST = """\
schema: 1
name: many
version: "1"
task: none
kinds: [latency]
frameworks:
  onnxruntime:
    files: {{model: {{path: model.onnx}}}}
inputs: [{{name: x, dtype: float32, shape: [batch, 4]}}]
outputs: [{{name: y}}]
matrix:
  threads: {threads}
  batch_size: {batch_sizes}
"""
PLAIN = """\
import pytest

@pytest.mark.parametrize("threads", {threads})
@pytest.mark.parametrize("batch_size", {batch_sizes})
def test_latency(batch_size, threads):
    pass
"""


def _seconds(folder: Path, n: int, *options: str) -> float:
    start = time.perf_counter()
    output = run_command(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options], cwd=folder
    )
    seconds = time.perf_counter() - start
    if f"\n{n} tests collected" not in output:
        raise SystemExit(f"collection: expected {n} tests, pytest says:\n{output[-1000:]}")
    return seconds


def collection(*, quick: bool) -> list[Row]:
    """``pytest --collect-only -q``, whole process, start-up included on both sides."""
    rows = []
    for n, rounds in ((1_000, 5), (10_000, 5), (100_000, 3)):
        if quick and n == 100_000:
            continue
        sizes = {"threads": list(range(1, 11)), "batch_sizes": list(range(1, n // 10 + 1))}
        with tempfile.TemporaryDirectory() as folder:
            ours, plain = Path(folder, "ours"), Path(folder, "plain")
            for side, name, text in (
                (ours, "many.mlscope.yml", MANIFEST),
                (plain, "test_many.py", PLAIN),
            ):
                side.mkdir()
                (side / name).write_text(text.format(**sizes))
                (side / "pytest.ini").write_text("[pytest]\n")
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(1 if quick else rounds):
                times[0].append(_seconds(ours, n, "--mlscope"))
                times[1].append(_seconds(plain, n, "-p", "no:mlscope"))
        rows.append(
            paired(
                f"collect {n:,} cases",
                *times,
                unit="s",
                other_is="parametrized tests",
                at_most=1.5 if n == 100_000 else None,
            )
        )
    return rows
