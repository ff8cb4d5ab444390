"""When a case must be done, whatever it consists of."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """The one moment by which everything that a measurement of a case does must be done.

    It is made once and passed down, since a limit that each load or each read began anew would add up to many.

    >>> Deadline.after(600.0).left() > 599.0
    True
    """

    at: float
    """As of ``time.monotonic()``."""
    limit: float
    """How many seconds there were in all."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Seconds that are left; 0 or less when there are none."""
        return self.at - time.monotonic()

    def at_least(self, seconds: float) -> Deadline:
        """The same limit, but not before so many seconds from now: time to read what may be there already."""
        return Deadline(max(self.at, time.monotonic() + seconds), self.limit)


Timeout = float | Deadline
"""What one request may take: seconds from when it is sent, or the deadline of the case that it is part of."""
