"""Our timed loop and a bare one, in turn over the same bound call in the same process.

What differs between processes cannot hide or make a difference here.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.subjects.digits_session import bound, session
from pytest_mlscope.host.measure import measure

SECONDS = 0.1


def main(rounds: int) -> None:
    model = session()
    binding = bound(model)
    inner = model.run_with_iobinding

    def run() -> None:
        inner(binding)

    def bare() -> float:
        clock = time.perf_counter_ns
        samples = [0] * calls
        for i in range(calls):
            start = clock()
            run()
            end = clock()
            samples[i] = end - start
        return float(statistics.median(samples))

    def ours() -> float:
        measured = measure(run, budget=SECONDS, relative_error=1e-9, warmup_budget=0.001)
        return float(statistics.median(measured.samples.tolist()))

    calls = 2000
    calls = int(SECONDS * 1e9 / bare())
    pairs = []
    for turn in range(rounds):
        if turn % 2:
            a = ours()
            b = bare()
        else:
            b = bare()
            a = ours()
        pairs.append((a / 1e9, b / 1e9))
    print(json.dumps({"ours": [a for a, _ in pairs], "bare": [b for _, b in pairs]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
