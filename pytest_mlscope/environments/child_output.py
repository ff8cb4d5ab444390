"""Runs a tool, line by line, and leaves nothing of it behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.text import scrubbed

TAIL_LINES = 20


@dataclass(frozen=True)
class ToolRun:
    """How a tool ended."""

    returncode: int
    tail: tuple[str, ...]
    """The last lines it printed, at most :data:`TAIL_LINES`."""


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _without_secrets(text: str, variables: Mapping[str, str]) -> str:
    """A tool repeats the URL of a package index that asks for a password, and its own configuration."""
    # An index's URL, with its password, comes to the tools by PIP_INDEX_URL, UV_DEFAULT_INDEX and the like.
    for value in variables.values():
        if "://" in value:
            for url in value.split():
                text = scrubbed(text, url)
    return scrubbed(text)


def run_tool(
    command: Sequence[str | Path],
    *,
    folder: Path,
    variables: Mapping[str, str],
    inherit: Sequence[int] = (),
    line: Callable[[str], None],
) -> ToolRun:
    """Run a command to its end, passing on each line it prints to stdout or stderr, without the secrets of URLs.

    Whatever ends this early, a KeyboardInterrupt too, kills the command and what it started.

    :param folder: the working folder.
    :param variables: all its environment variables.
    :param inherit: descriptors it keeps open.
    :raises OSError: when it cannot be started.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # One pipe: with two, the one that is not read may fill up and stop the tool.
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        pass_fds=tuple(inherit),
        start_new_session=True,  # So that the whole group can be killed, and Ctrl-C reaches it through here alone.
    )
    try:
        with process:
            # Read to the end before waiting: a tool that has filled its pipe stops until somebody reads.
            for text in process.stdout or ():
                stripped = _without_secrets(text.rstrip(), variables)
                if stripped:
                    tail.append(stripped)
                    line(stripped)
            returncode = process.wait()
    except BaseException:
        _kill(process)
        raise
    return ToolRun(returncode, tuple(tail))
