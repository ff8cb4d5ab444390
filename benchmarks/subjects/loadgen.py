"""MLPerf LoadGen, single stream, on ``session.run``: the median its summary states."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen

from benchmarks.subjects.digits_session import image, session


def main() -> None:
    model = session()
    feed = {"image": image()}

    def issue(samples: list[Any]) -> None:
        for sample in samples:
            model.run(None, feed)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = 500
    settings.min_query_count = 2000
    with tempfile.TemporaryDirectory() as folder:
        log = loadgen.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        system = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(1, 1, lambda rows: None, lambda rows: None)
        loadgen.StartTestWithLogSettings(system, library, settings, log)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
        summary = Path(folder, "mlperf_log_summary.txt").read_text()
    found = re.search(r"^50\.00 percentile latency \(ns\)\s*: (\d+)", summary, re.MULTILINE)
    if found is None:
        raise SystemExit(f"no median in LoadGen's summary:\n{summary}")
    print(json.dumps({"median": int(found[1]) / 1e9}))


if __name__ == "__main__":
    main()
