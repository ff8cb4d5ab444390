"""The median we report and that of a bare loop, in turn over the same session in the same process.

What differs between processes cannot hide or make a difference here. Argument: how often each side runs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.subjects.digits_session import bound, image
from benchmarks.subjects.shipped_predictor import digits_model
from pytest_mlscope.host.measure import measure
from pytest_mlscope.statistics.percentiles import supported_percentiles

SECONDS = 0.1


def main(rounds: int) -> None:
    model = digits_model(1)
    run = model.bind({"image": image()}).run
    # The predictor's own, so that both sides run one session.
    session = model._session
    binding = bound(session)

    def bare(calls: int) -> float:
        clock = time.perf_counter_ns
        samples = [0] * calls
        for i in range(calls):
            start = clock()
            session.run_with_iobinding(binding)
            samples[i] = clock() - start
        return statistics.median(samples) / 1e9

    def ours() -> float:
        measured = measure(run, budget=SECONDS, relative_error=1e-9, warmup_budget=0.001)
        reported = supported_percentiles(measured.samples)["p50"]
        if reported is None:
            raise SystemExit("too few calls for a median")
        return reported

    calls = int(SECONDS / bare(2000))
    pairs = []
    for turn in range(rounds):
        if turn % 2:
            a = ours()
            b = bare(calls)
        else:
            b = bare(calls)
            a = ours()
        pairs.append((a, b))
    print(json.dumps({"ours": [a for a, _ in pairs], "bare": [b for _, b in pairs]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
