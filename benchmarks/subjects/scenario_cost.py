"""Our scenarios and LoadGen's with nothing to predict: arrival error and cost of a query, in µs."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import numpy as np

from pytest_mlscope.host.arrivals import poisson_arrivals, serve
from pytest_mlscope.host.loadgen import answering, loadgen_module, loadgen_settings, run_queries
from pytest_mlscope.host.measure import measure
from pytest_mlscope.host.predictor import Unsupported

QPS = 1000.0
ROWS = 8
MICRO = 1e-3


def _nothing() -> None:
    pass


def _eight() -> None:
    for run in [_nothing] * ROWS:
        run()


def ours(seconds: float) -> dict[str, float]:
    served = serve({1: _nothing}, poisson_arrivals(QPS, seconds, 0), 2 * seconds)
    costs = {
        name: float(np.median(measure(run, budget=0.3, relative_error=1e-9, warmup_budget=0.1).samples)) * MICRO
        for name, run in (("single_stream", _nothing), ("multi_stream", _eight))
    }
    return {"arrival_error": float(np.percentile(served.noticed_late, 99)) * MICRO, **costs}


def theirs(seconds: float) -> dict[str, float] | None:
    try:
        loadgen = loadgen_module()
    except Unsupported:
        return None
    figures = {}
    for scenario in ("server", "single_stream", "multi_stream"):
        request: dict[str, Any] = {
            "scenario": scenario,
            "seconds": seconds if scenario == "server" else 0.2,
            "queries": 500,
            "limit": 60.0,
            "seed": 0,
            "percentile": 99.0,
            "samples_per_query": ROWS if scenario == "multi_stream" else 1,
            "qps": QPS,
            "latency_bound": None,
        }
        settings = loadgen_settings(loadgen, request, 5e-6, 1)
        with tempfile.TemporaryDirectory() as folder:
            trace = run_queries(loadgen, answering(loadgen, {1: _nothing}), settings, 16, folder)
        if scenario == "server":
            figures["arrival_error"] = float(np.percentile(trace.issue_delay, 99)) * MICRO
        else:
            figures[scenario] = float(np.median(trace.latency)) * MICRO
    return figures


def main(seconds: float) -> None:
    print(json.dumps({"ours": ours(seconds), "loadgen": theirs(seconds)}))


if __name__ == "__main__":
    main(float(sys.argv[1]))
