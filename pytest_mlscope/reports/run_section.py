"""Facts of a whole run, as under ``run`` in the JSON report."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_mlscope import __version__
from pytest_mlscope.machine import NOT_AVAILABLE, machine_facts, run_git
from pytest_mlscope.records import GitFacts, RunRecord
from pytest_mlscope.text import scrubbed


def run_facts(config: pytest.Config, started: float, finished: float, exit_status: int, interrupted: bool) -> RunRecord:
    """Facts of the run, to be gathered once, at its end: git is asked here.

    :param started: seconds since the epoch, as ``time.time()`` gives.
    :param finished: likewise.
    :param exit_status: pytest's.
    """
    return RunRecord(
        plugin_version=__version__,
        pytest_version=pytest.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        command_line=["pytest", *(scrubbed(os.fspath(argument)) for argument in config.invocation_params.args)],
        folder=str(config.invocation_params.dir),
        rootdir=str(config.rootpath),
        git=git_facts(config.rootpath),
        started=_iso(started),
        finished=_iso(finished),
        seconds=finished - started,
        exit_status=int(exit_status),
        interrupted=bool(interrupted),
        machine=machine_facts(),
    )


def git_facts(folder: Path) -> GitFacts:
    """``commit`` and ``dirty`` (whether tracked files differ from it); "not available" outside a git checkout."""
    unknown: GitFacts = {"commit": NOT_AVAILABLE, "dirty": NOT_AVAILABLE}
    try:
        # One process for both answers.
        status = run_git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no", timeout=10)
    except (OSError, subprocess.SubprocessError):
        return unknown
    if status.returncode != 0:
        return unknown
    lines = status.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return unknown
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
