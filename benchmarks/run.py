"""``python -m benchmarks.run``: every comparison in one run, as one table."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy import accuracy
from benchmarks.collection import collection
from benchmarks.fixed_cost import fixed_cost
from benchmarks.fresh_process import SubjectError
from benchmarks.latency import latency, timed_loop
from benchmarks.machine import machine
from benchmarks.scenarios import scenarios
from benchmarks.startup import startup
from benchmarks.table import Row, render


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it works, not how fast it is")
    parser.add_argument("--only", action="append", metavar="NAME", help="one group of rows; may be given several times")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the table, with the machine, to a file")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PATH",
        help="a further interpreter to look for torch and LoadGen in, where this one has none; needs onnxruntime",
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    groups: dict[str, Callable[[], list[Row]]] = {
        "timed-loop": lambda: timed_loop(quick=quick),
        "latency": lambda: latency(quick=quick, pythons=arguments.python),
        "scenarios": lambda: scenarios(quick=quick, pythons=arguments.python),
        "fixed-cost": lambda: fixed_cost(quick=quick),
        "accuracy": lambda: accuracy(quick=quick),
        "collection": lambda: collection(quick=quick),
        "startup": lambda: startup(quick=quick),
    }
    unknown = [name for name in arguments.only or [] if name not in groups]
    if unknown:
        parser.error(f"unknown group {unknown[0]!r}; allowed: {', '.join(groups)}")
    rows: list[Row] = []
    failed = False
    facts = machine()
    for name in arguments.only or groups:
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            rows += groups[name]()
        except SubjectError as error:
            failed = True
            print(f"failed: {error}", file=sys.stderr)
        else:
            print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(render(rows))
    if arguments.json:
        report = {
            "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "machine": facts,
            "rows": [row.as_json() for row in rows],
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 1 if failed or any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
