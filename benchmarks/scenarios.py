"""What our scenarios add to a query, and how well they keep to its arrival, beside LoadGen from Python."""

from __future__ import annotations

import sys

from benchmarks.fresh_process import interpreter_with, run_subject
from benchmarks.table import Row, missing, paired

_ROWS = (
    ("arrival_error", "arrival error at 1,000/s, p99", {"ours_at_most": 100.0}),
    ("single_stream", "cost of a query, single_stream", {"at_most": 1.0}),
    ("multi_stream", "cost of a query of 8, multi_stream", {"at_most": 1.0}),
)
_LOADGEN = "MLPerf LoadGen"


def scenarios(*, quick: bool, pythons: list[str]) -> list[Row]:
    """Both in one process, in turns, over several processes; nothing is predicted."""
    python = interpreter_with("mlperf_loadgen", [sys.executable, *pythons])
    rounds = [
        run_subject("scenario_cost", "0.5" if quick else "3", python=python or sys.executable)
        for _ in range(2 if quick else 7)
    ]
    rows = []
    for key, what, target in _ROWS:
        ours = [each["ours"][key] for each in rounds]
        if python is None:
            typical = sorted(ours)[len(ours) // 2]
            rows.append(missing(what, unit="µs", other_is=_LOADGEN, ours=typical, why="not installed", **target))
        else:
            theirs = [each["loadgen"][key] for each in rounds]
            rows.append(paired(what, ours, theirs, unit="µs", other_is=_LOADGEN, **target))
    return rows
