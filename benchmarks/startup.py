"""What the plugin adds to every pytest start that does not use it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.fresh_process import one_cpu, run_command
from benchmarks.table import Row
from pytest_mlscope.host.order_statistics import median_interval

NO_TESTS = 5
"""pytest's exit status when it collected nothing."""


def startup(*, quick: bool) -> list[Row]:
    """``pytest -q`` in an empty folder, with the plugin and with ``-p no:mlscope``, in turn."""
    with tempfile.TemporaryDirectory() as folder, one_cpu():

        def seconds(*options: str) -> float:
            start = time.perf_counter()
            run_command(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", *options],
                cwd=Path(folder),
                ok=(NO_TESTS,),
            )
            return time.perf_counter() - start

        seconds()
        seconds("-p", "no:mlscope")
        with_plugin, without_plugin = [], []
        for turn in range(5 if quick else 201):
            if turn % 2:
                with_plugin.append(seconds() * 1e3)
            without_plugin.append(seconds("-p", "no:mlscope") * 1e3)
            if not turn % 2:
                with_plugin.append(seconds() * 1e3)
    without = median(without_plugin)
    differences = [a - b for a, b in zip(with_plugin, without_plugin)]
    added = median(differences)
    interval = median_interval(np.asarray(differences))
    known = f", 95 % interval {interval[0]:+.1f} to {interval[1]:+.1f} ms" if interval else ""
    return [
        Row(
            "pytest start, plugin idle",
            without + added,
            without,
            "ms",
            "-p no:mlscope",
            difference_at_most=10.0,
            note=f"median of the differences of {len(differences)} pairs{known}",
        )
    ]
