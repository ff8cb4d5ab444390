"""``mlscope audit``: how often the gate is wrong on this machine."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from typing import TYPE_CHECKING

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, settings_of
from pytest_mlscope.errors import WrongUse
from pytest_mlscope.option_values import percentage, positive_number, user_path, whole_number
from pytest_mlscope.quantities import plural

if TYPE_CHECKING:
    from pytest_mlscope.gate import Audit

_DETAILS = """\
Compares a case with itself, again and again: unchanged (A/A), which must raise no alarm, and slowed down by a wrapper
around the real predictor, which must. Prints the share of alarms with its 95% interval, the median time of a verdict,
and the smallest slowdown caught in 99% of comparisons; beside them, what two separate runs compared at 5% would have
said in the same minutes. What A/A pairs differed by becomes this machine's floor for the case, kept in the cache and
used by `pytest --mlscope --mlscope-against`. Leave the machine alone meanwhile, or load it as CI would."""


_LEGEND = "alarms with their 95% interval; two runs: two separate runs, compared at 5%"

# More would not load the machine more, and may leave it without processes.
_MOST_BUSY = 8 * (os.cpu_count() or 1)
_slowdown = percentage(most=1000)


def _slowdowns(text: str) -> list[float]:
    return [_slowdown(part) for part in text.split(",")]


def add_to(commands: Commands) -> None:
    """Add ``audit``."""
    parser = add_command(commands, "audit", "measure how often the gate is wrong on this machine", _audit, _DETAILS)
    parser.add_argument("manifest", type=user_path, metavar="MANIFEST", help="a *.mlscope.yml")
    parser.add_argument(
        "--case", metavar="ID", help="the case, by its id as in test names; by default the first one on onnxruntime"
    )
    parser.add_argument(
        "--trials", type=whole_number(), default=40, metavar="N", help="trials of each effect (default: 40)"
    )
    parser.add_argument(
        "--effects",
        type=_slowdowns,
        default=[0.02, 0.05, 0.10],
        metavar="PERCENT[,PERCENT]",
        help="slowdowns to inject (default: 2,5,10); A/A is always there",
    )
    parser.add_argument(
        "--seconds",
        type=positive_number("seconds"),
        default=20.0,
        metavar="S",
        help="time for a comparison (default: 20)",
    )
    parser.add_argument(
        "--minimum-effect", type=percentage(most=100), default=0.03, metavar="PERCENT", help="what matters (default: 3)"
    )
    parser.add_argument(
        "--busy",
        type=whole_number(least=0, most=_MOST_BUSY),
        default=0,
        metavar="N",
        help="keep this many other processes busy during the audit, up to 8 times the CPUs (default: 0)",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="PATH", help="write every trial to this file, while they are made"
    )
    parser.add_argument(
        "--resume", action="store_true", help="count the trials in --json PATH, and add what is missing"
    )
    parser.add_argument("--provision", action="store_true", help="make a missing framework environment")
    add_home(parser)


def _table(audit: Audit) -> str:
    from pytest_mlscope.cli.table import aligned
    from pytest_mlscope.gate import alarms, separate_runs_alarms

    rows = []
    for effect in sorted({trial.effect for trial in audit.trials}):
        trials = audit.of(effect)
        wanted = "none" if effect == 0 else "alarm" if effect > audit.rules.minimum_effect else "either"
        inconclusive = sum(trial.outcome == "inconclusive" for trial in trials)
        rows.append(
            [
                _shown(effect),
                wanted,
                alarms(trials).counted,
                str(inconclusive),
                f"{statistics.median(trial.seconds for trial in trials):.1f}",
                separate_runs_alarms(trials).counted,
            ]
        )
    header = ["effect", "wanted", "gate: alarms", "inconclusive", "median s", "two runs: alarms"]
    return f"{aligned(header, rows)}\n{_LEGEND}"


def _shown(effect: float) -> str:
    return "A/A" if effect == 0 else f"+{effect * 100:g}%"


def _detectable(audit: Audit) -> str:
    from pytest_mlscope.gate import FEWEST_AUDIT_PAIRS, LARGEST_EFFECT, minimum_detectable_effect

    print("looking for the smallest slowdown that is caught …", file=sys.stderr, flush=True)
    found = minimum_detectable_effect(audit)
    if found is None:
        return f"not known, {_too_few(audit, FEWEST_AUDIT_PAIRS)}"
    effect, low, high = (
        f"above {LARGEST_EFFECT:.0%}" if math.isinf(each) else f"{each:.1%}" for each in (found.effect, *found.interval)
    )
    return f"{effect} (95% interval {low} to {high})"


def _too_few(audit: Audit, needed: int) -> str:
    made = plural(len(audit.pairs()), "pair")
    return f"{made} of {needed} needed, about --trials {audit.trials_for(needed)}"


def _told(audit: Audit, missing: int) -> None:
    trial = audit.trials[-1]
    print(
        f"{len(audit.trials)}/{len(audit.trials) + missing}: "
        f"{_shown(trial.effect)}: {trial.outcome}, ratio {trial.ratio:.4f}, "
        f"{plural(len(trial.log_ratios), 'pair')}, {trial.seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def _audit(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import audit_case
    from pytest_mlscope.gate import FEWEST_PAIRS, side_alarms

    if options.resume and options.json is None:
        raise WrongUse("--resume needs --json PATH, the file with the trials to continue")
    audited = audit_case(
        options.manifest,
        settings=settings_of(options),
        case=options.case,
        minimum_effect=options.minimum_effect,
        seconds=options.seconds,
        effects=options.effects,
        trials=options.trials,
        busy=options.busy,
        file=options.json,
        resume=options.resume,
        after_trial=_told,
    )
    case, audit, floor = audited.case, audited.audit, audited.floor
    beside = {0: "", 1: ", beside another busy process"}.get(options.busy, f", beside {options.busy} busy processes")
    print(f"{case.model} [{case.id}]{beside}")
    print(_table(audit))
    for quantity in ("load_time", "peak_memory"):
        rate = side_alarms(audit.trials, quantity)
        if rate is not None:
            print(f"false alarms of {quantity.replace('_', ' ')}, in all trials: {rate}")
    print(f"smallest slowdown caught in 99% of comparisons: {_detectable(audit)}")
    if floor is None:
        print(f"A/A floor: not learned, {_too_few(audit, FEWEST_PAIRS)}")
    else:
        print(f"A/A floor of this machine and case: {floor:.1%}, from {len(audit.pairs())} pairs; kept for the gate")
    return 0
