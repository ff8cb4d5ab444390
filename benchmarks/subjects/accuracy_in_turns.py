"""Samples a second of an accuracy evaluation and of a bare loop: the same predictor over the same batches, in turns.

Arguments: a manifest, the npz it reads, whose rows under ``images`` are pre-processed beforehand, the batch size, and
how often each side runs, an odd number: the turn whose ratio is the median is printed. Whoever predicts does so on one
CPU, the same for both, as two CPUs of a shared machine may differ by more than what is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.subjects.shipped_predictor import digits_model
from pytest_mlscope.api.evaluation import load_alone
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.machine.cache_folder import cache_home
from pytest_mlscope.measurements.accuracy.accuracy import measure_accuracy
from pytest_mlscope.recorder import ConsoleRecorder
from pytest_mlscope.settings import Settings


def _bare(path: str, batch_size: int, cpu: int) -> Callable[[], float]:
    model = digits_model(batch_size)
    with np.load(path) as data:
        images = data["images"]
    starts = range(0, len(images), batch_size)
    usable = os.sched_getaffinity(0)

    def run() -> float:
        os.sched_setaffinity(0, {cpu})
        try:
            start = time.perf_counter()
            outputs = [model.predict({"image": images[row : row + batch_size]})["logits"] for row in starts]
            predicted = np.concatenate(outputs)
            del outputs
            seconds = time.perf_counter() - start
        finally:
            os.sched_setaffinity(0, usable)
        return len(predicted) / seconds

    return run


def main(manifest: str, path: str, batch_size: int, turns: int) -> None:
    loaded = load_alone(Path(manifest))
    plan = Plan.of(loaded, next(case for case in expand(loaded) if case.batch_size == batch_size))
    cpu = max(os.sched_getaffinity(0))
    loader = ModelLoader(Settings(home=cache_home(), affinity=(cpu,), recorder=ConsoleRecorder(sys.stdout)))
    bare = _bare(path, batch_size, cpu)

    def ours() -> float:
        accuracy = measure_accuracy(loader.ready(plan))
        assert accuracy.errors == 0
        assert accuracy.samples_per_second is not None
        return accuracy.samples_per_second

    sides = [("ours", ours), ("bare", bare)]
    measured: list[dict[str, float]] = []
    try:
        for _, side in sides:
            side()
        for _ in range(turns):
            measured.append({name: side() for name, side in sides})
            # Whoever goes first meets another machine than who goes second: they take turns.
            sides.reverse()
    finally:
        loader.close()
    # The machine's speed wanders by more than what is measured from one second to the next: only neighbours compare.
    measured.sort(key=lambda turn: turn["ours"] / turn["bare"])
    print(json.dumps(measured[turns // 2]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
