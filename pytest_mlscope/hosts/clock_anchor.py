"""Where a host's clocks stand beside this process's, so that times of both fit on one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

ROUND_TRIPS = 5
"""The shortest of them counts: its error is the least, and longer ones only waited for something else."""


@dataclass(frozen=True, kw_only=True)
class ClockAnchor:
    """One moment on four clocks, in seconds: ``perf_counter`` and the wall clock, here and in the host.

    >>> anchor = ClockAnchor(monotonic=10.0, wall=1000.0, host_monotonic=3.0, host_wall=1000.5, error=0.001)
    >>> anchor.here(4.5), anchor.wall_of(4.5), anchor.wall_offset
    (11.5, 1001.5, 0.5)
    """

    monotonic: float
    wall: float
    host_monotonic: float
    host_wall: float
    error: float
    """By how much the host's reading may lie from the moment, to either side: half the round trip."""

    def here(self, host_monotonic: float) -> float:
        """A moment of the host's ``perf_counter`` on this process's, within ``error`` and what the clocks drift."""
        return self.monotonic + (host_monotonic - self.host_monotonic)

    def wall_of(self, host_monotonic: float) -> float:
        """A moment of the host's ``perf_counter`` in seconds since 1970, by this process's wall clock."""
        return self.wall + (host_monotonic - self.host_monotonic)

    @property
    def wall_offset(self) -> float:
        """By how much the host's wall clock is ahead of this process's: about 0 on one machine."""
        return self.host_wall - self.wall


def anchored(read: Callable[[], tuple[float, float]], *, round_trips: int = ROUND_TRIPS) -> ClockAnchor:
    """Measure where the host's clocks stand, as NTP does: its reading is taken for the middle of the round trip.

    Source: RFC 5905, section 8.

    :param read: asks the host for its ``perf_counter`` and its wall clock.
    """
    best: ClockAnchor | None = None
    for _ in range(round_trips):
        sent, wall = time.perf_counter(), time.time()
        host_monotonic, host_wall = read()
        error = (time.perf_counter() - sent) / 2
        if best is None or error < best.error:
            best = ClockAnchor(
                # The middle of the round trip: the error is least where both ways take as long.
                monotonic=sent + error,
                wall=wall + error,
                host_monotonic=host_monotonic,
                host_wall=host_wall,
                error=error,
            )
    if best is None:
        raise ValueError("round_trips must be at least 1")
    return best
