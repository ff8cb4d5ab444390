"""How a case is evaluated without pytest: the options of a run, checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import Affinity, cache_home
from pytest_mlscope.option_values import DEFAULT_TIMEOUT
from pytest_mlscope.recorder import SILENT, Recorder
from pytest_mlscope.settings import Settings


def list_of(name: str, values: object, what: str) -> list[object]:
    """An argument as a list. :raises TypeError: when it is none."""
    # A string is iterable too, but as letters.
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of {what}, not {values!r}")
    return list(values)


def path_of(name: str, value: object) -> Path:
    """An argument as a path. :raises TypeError: when it is none."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, not {value!r}")
    return Path(value)


def _affinity(affinity: object) -> Affinity:
    if affinity is None:
        return None
    cpus: list[int] = []
    for cpu in list_of("affinity", affinity, "CPU numbers"):
        if isinstance(cpu, bool) or not isinstance(cpu, int):
            raise TypeError(f"affinity must be a list of CPU numbers, not {affinity!r}")
        cpus.append(cpu)
    if not cpus:
        raise MlscopeError("affinity is empty, so there is no CPU to run on")
    return tuple(sorted(set(cpus)))


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How :func:`~pytest_mlscope.evaluate` evaluates; each is an option of ``pytest --mlscope`` too.

    >>> EvaluationSettings(timeout=60, restarts=3).restarts
    3
    >>> EvaluationSettings(timeout=0)
    Traceback (most recent call last):
    pytest_mlscope.errors.MlscopeError: the timeout must be a positive number of seconds, not 0

    :raises TypeError: for a value of another type.
    :raises MlscopeError: for a value that makes no sense.
    """

    timeout: float = DEFAULT_TIMEOUT
    """Seconds that each kind of measurement of the case may take, all its loads and predictions together."""
    restarts: int | None = None
    """In how many fresh hosts the latency is measured; by default as the manifest says."""
    affinity: Sequence[int] | None = None
    """CPU numbers that hosts are pinned to; by default as the manifest says."""
    layers: bool = False
    """Profile the model layer by layer too, with its framework's own profiler."""
    provision: bool = False
    """Make a missing framework environment."""
    home: str | Path | None = None
    """Where environments and artifacts are kept; by default the user's cache folder."""
    recorder: Recorder = field(default=SILENT, compare=False)
    """Is told what takes long; ``ConsoleRecorder(sys.stderr)`` prints it."""

    def __post_init__(self) -> None:
        # True is an int to Python, and would be a limit of one second.
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout must be a number of seconds, not {self.timeout!r}")
        if self.restarts is not None and (isinstance(self.restarts, bool) or not isinstance(self.restarts, int)):
            raise TypeError(f"restarts must be a number of processes, not {self.restarts!r}")
        if self.home is not None:
            path_of("home", self.home)
        self._in(Path())  # for what it raises

    def _in(self, home: Path) -> Settings:
        return Settings(
            home=home,
            timeout=self.timeout,
            provision=self.provision,
            layers=self.layers,
            restarts=self.restarts,
            affinity=_affinity(self.affinity),
            command_line=tuple(sys.argv),
            recorder=self.recorder,
        )

    def of_a_run(self) -> Settings:
        """The settings of a run with nothing but this case."""
        return self._in(cache_home() if self.home is None else Path(self.home))
