"""``mlscope framework``: framework folders."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of

_CHECK = """\
Tries the predictor with the model that framework.yml names under self_test: what it returns, whether it obeys, how it
fails, and what it leaves behind. The predictor runs in a process of its own. The exit status is 1 when a check finds a
fault."""


def add_to(commands: Commands) -> None:
    """Add ``framework`` and its subcommands."""
    parser = add_command(commands, "framework", "check framework folders", None)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = add_command(actions, "check", "check that a framework folder does what predictors promise", _check, _CHECK)
    check.add_argument("framework", metavar="PATH|NAME", help="a framework folder, or the name of a framework")
    check.add_argument("--threads", type=_threads, default=1, metavar="N", help="threads to ask for (default: 1)")
    check.add_argument("--provision", action="store_true", help="make the framework's environment where there is none")
    add_home(check)


def _threads(text: str) -> int:
    try:
        threads = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if threads < 1:
        raise argparse.ArgumentTypeError(f"a predictor computes with at least 1 thread, not {threads}")
    return threads


def _check(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import framework_folder
    from pytest_mlscope.cli.table import aligned
    from pytest_mlscope.conformance import CHECKS, CheckResult, check

    folder = framework_folder(options.framework, Path.cwd())
    done = 0

    def report(finding: CheckResult) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(f"\r{done} of {len(CHECKS)}: {finding.name:<24}", end="", file=sys.stderr, flush=True)

    findings = check(
        folder.path, threads=options.threads, provision=options.provision, home=home_of(options), report=report
    )
    if sys.stderr.isatty():
        print(f"\r{'':40}\r", end="", file=sys.stderr)
    made = [each for each in findings if each.status != "not checked"]
    print(aligned(["check", "result", "what was seen"], [[each.name, each.status, each.reason] for each in made]))
    if len(made) < len(findings):
        print(f"{len(findings) - len(made)} further checks were not made: {made[-1].name} is at fault")
    faults = sum(each.status == "fault" for each in made)
    print(f"{folder.name}: {faults} of {len(made)} checks found a fault" if faults else f"{folder.name}: no fault")
    return 1 if faults else 0
