"""Running git: never with what a checkout's configuration would start, never waiting for someone to type."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

TIMEOUT = 60.0
"""Seconds any of our git commands may take."""


def run_git(folder: Path, *arguments: str, timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; undecodable output is escaped.

    :raises OSError: when git cannot be started.
    :raises subprocess.TimeoutExpired: when it takes longer; it is killed then.
    """
    return subprocess.run(
        # A file-system monitor is a program that the checkout names: not started from here.
        ["git", "-c", "core.fsmonitor=false", *arguments],  # noqa: S607  # the user's git
        cwd=folder,
        # Reading must not wait for, or take, the lock of a git that the user runs at the same time.
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )
