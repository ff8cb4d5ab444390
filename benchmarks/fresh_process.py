"""Runs one subject in an interpreter of its own, because a process can be lucky for its whole life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "model_suites" / "digits"


class SubjectError(Exception):
    """A subject ended without a result."""


def environment(**variables: str) -> dict[str, str]:
    """The environment of a benchmark's child: this checkout is importable, and no user's pytest options get in.

    Bytecode is kept, as it is for whoever has not turned that off: no timed process compiles its sources.
    """
    dropped = ("PYTEST", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}


def run_command(command: list[str], *, cwd: Path = ROOT, timeout: float = 1800, ok: tuple[int, ...] = (0,)) -> str:
    """Standard output of a command.

    :raises SubjectError: when its exit status is not among ``ok``.
    """
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode not in ok:
        raise SubjectError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout


def run_subject(name: str, *arguments: str, python: str = sys.executable) -> Any:
    """What ``benchmarks.subjects.NAME`` prints on its last line."""
    return json.loads(run_command([python, "-m", f"benchmarks.subjects.{name}", *arguments]).splitlines()[-1])


def interpreter_with(module: str, candidates: list[str]) -> str | None:
    """The first interpreter that has this module beside onnxruntime."""
    for python in candidates:
        probe = subprocess.run(
            [python, "-c", f"import onnxruntime, {module}"], env=environment(), capture_output=True, check=False
        )
        if probe.returncode == 0:
            return python
    return None


@contextmanager
def one_cpu() -> Iterator[None]:
    """For this process and the children it starts: two CPUs of a shared machine may differ by half for minutes."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)
