"""The loop one would write by hand, over ``session.run`` or IOBinding. Argument: ``run`` or ``iobinding``."""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.subjects.digits_session import bound, image, session

WARMUP_CALLS = 2000
CALLS = 20000


def main(call_path: str) -> None:
    model = session()
    samples = [0] * CALLS
    clock = time.perf_counter_ns
    if call_path == "iobinding":
        binding = bound(model)
        for _ in range(WARMUP_CALLS):
            model.run_with_iobinding(binding)
        for i in range(CALLS):
            start = clock()
            model.run_with_iobinding(binding)
            samples[i] = clock() - start
    else:
        feed = {"image": image()}
        for _ in range(WARMUP_CALLS):
            model.run(None, feed)
        for i in range(CALLS):
            start = clock()
            model.run(None, feed)
            samples[i] = clock() - start
    print(json.dumps({"median": statistics.median(samples) / 1e9}))


if __name__ == "__main__":
    main(sys.argv[1])
