"""``python -m benchmarks.audits``: how often the gate is wrong, for two models, with the machine idle and busy.

Takes hours; what is in the folder is gone on with, so that it can be interrupted. Every trial is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.fresh_process import DIGITS, ROOT
from pytest_mlscope.cli.main import main as mlscope
from pytest_mlscope.cli.table import aligned
from pytest_mlscope.gate.audit import Rate, alarms, separate_runs_alarms
from pytest_mlscope.gate.audit_file import trials_of

CASES = {
    "digits": (DIGITS / "digits-cnn.mlscope.yml", "onnxruntime-cpu-b1"),
    "squeezenet": (ROOT / "model_suites" / "onnx_classics" / "squeezenet.mlscope.yml", "onnxruntime"),
}
CONDITIONS = {"idle": 0, "busy": 1}
"""To the number of other processes that are kept busy."""
MOST_FALSE_ALARMS, FEWEST_CAUGHT = 0.01, 0.99
MOST_SECONDS = {0.0: 20.0, 0.05: 20.0, 0.2: 5.0}
"""By slowdown: what the median verdict may take."""


def _met(effect: float, alarm: Rate, seconds: float) -> str:
    if effect not in MOST_SECONDS:
        return ""
    right = alarm.share <= MOST_FALSE_ALARMS if effect == 0 else alarm.share >= FEWEST_CAUGHT
    return "yes" if right and seconds <= MOST_SECONDS[effect] else "NO"


def table(folder: Path) -> str:
    """What all files in the folder say."""
    rows = []
    for model in CASES:
        for condition in CONDITIONS:
            path = folder / f"{model}-{condition}.json"
            trials = trials_of(json.loads(path.read_text("utf-8"))) if path.exists() else []
            for effect in sorted({trial.effect for trial in trials}):
                these = [trial for trial in trials if trial.effect == effect]
                seconds = statistics.median(trial.seconds for trial in these)
                name = "A/A" if effect == 0 else f"+{effect:.0%}"
                alarm = alarms(these)
                inconclusive = str(sum(trial.outcome == "inconclusive" for trial in these))
                separate = str(separate_runs_alarms(these))
                met = _met(effect, alarm, seconds)
                rows.append([model, condition, name, str(alarm), inconclusive, f"{seconds:.1f}", met, separate])
    header = ["model", "machine", "effect", "alarms", "inconclusive", "median s", "met?", "two separate runs: alarms"]
    return aligned(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audits", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "results" / "audits")
    parser.add_argument("--trials", type=int, default=200, help="of A/A and +5 %% (default: 200)")
    parser.add_argument("--more-trials", type=int, default=20, help="of +2, +10 and +20 %% (default: 20)")
    parser.add_argument("--only", action="append", choices=[f"{m}-{c}" for m in CASES for c in CONDITIONS])
    parser.add_argument("--table", action="store_true", help="print what there is, without running anything")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for model, (manifest, case) in CASES.items():
        for condition, busy in CONDITIONS.items():
            name = f"{model}-{condition}"
            if arguments.table or (arguments.only and name not in arguments.only):
                continue
            common = ["audit", str(manifest), "--case", case, "--busy", str(busy), "--resume"]
            common += ["--json", str(arguments.folder / f"{name}.json")]
            for effects, trials in (("5", arguments.trials), ("2,10,20", arguments.more_trials)):
                status = mlscope([*common, "--effects", effects, "--trials", str(trials)])
                if status:
                    return status
    print(table(arguments.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
