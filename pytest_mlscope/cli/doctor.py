"""``mlscope doctor``: what this machine can do, and what keeps it from doing more."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mlscope.cli.folding import folded, terminal_width
from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of

_DETAILS = """\
Each line is ok, a warning, or a problem that stops the product from working; what to do stands behind the arrow.
The exit status is 1 when there is a problem."""


def add_to(commands: Commands) -> None:
    """Add ``doctor``."""
    add_home(add_command(commands, "doctor", "check this machine", _run, _DETAILS))


def _run(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import check_machine

    width = terminal_width()
    counts = {"ok": 0, "warning": 0, "problem": 0}
    for finding in check_machine(Path.cwd(), home_of(options)):
        counts[finding.severity] += 1
        advice = f" → {finding.advice}" if finding.advice else ""
        text = finding.text.replace("\n", "; ")
        # One by one, for some of them take seconds.
        line = f"{finding.severity:<8} {finding.subject}: {text}{advice}"
        print(folded(line, width=width, indent=len(f"{'':<8} ")), flush=True)
    plural = {"warning": "warnings", "problem": "problems"}
    told = [
        f"{count} {name if count == 1 else plural[name]}" for name, count in counts.items() if count and name != "ok"
    ]
    print(", ".join(told) or "all well")
    return 1 if counts["problem"] else 0
