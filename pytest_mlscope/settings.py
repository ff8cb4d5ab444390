"""What the command line and the environment decide for a whole run, validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.option_values import DEFAULT_TIMEOUT, MOST_RESTARTS, StrictPart
from pytest_mlscope.recorder import SILENT, Recorder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run. :raises MlscopeError: for values that make no sense."""

    home: Path
    """Where environments and artifacts are kept."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds a case may take in its predictor host before the host is killed."""
    provision: bool = False
    """Make missing framework environments."""
    strict: frozenset[StrictPart] = frozenset()
    """What else is a failure."""
    layers: bool = False
    """Profile the model of every latency case layer by layer."""
    restarts: int | None = None
    """In how many fresh hosts a latency is measured; ``None`` leaves it to the manifest."""
    affinity: tuple[int, ...] | None = None
    """CPUs that hosts are pinned to; ``None`` leaves it to the manifest."""
    command_line: tuple[str, ...] = ()
    recorder: Recorder = field(default=SILENT, compare=False)
    """Is told what goes on."""

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0 < self.timeout < float("inf"):
            raise MlscopeError(f"the timeout must be a positive number of seconds, not {self.timeout:g}")
        if self.restarts is not None and not 1 <= self.restarts <= MOST_RESTARTS:
            raise MlscopeError(f"restarts must be 1 to {MOST_RESTARTS}, not {self.restarts}")
