"""Reading sensors at regular intervals, beside a measurement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter

from pytest_mlscope.components.profilers.base import Reading

Samples = list[tuple[float, float]]
"""(seconds since the window opened, value) pairs."""
PATIENCE = 5.0
"""Seconds that a sample under way may take until it is given up: the run must not wait for a driver that hangs."""


class Sampler:
    """Calls ``sample(seconds since start)`` at once and then every ``interval`` seconds, in a thread, until it returns
    ``False`` or :meth:`stop` is called; :meth:`stop` calls it a last time."""

    def __init__(self, sample: Callable[[float], bool], *, interval: float, name: str) -> None:
        self._sample = sample
        self._interval = interval
        self._stop = threading.Event()
        self._began = perf_counter()
        # At once and not in the thread: a window may be over before the thread runs.
        self._goes_on = sample(0.0)
        # A daemon: a sensor that hangs must not keep pytest from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._goes_on and not self._stop.wait(self._interval):
            self._goes_on = self._sample(perf_counter() - self._began)

    def stop(self) -> None:
        """End the thread, after the last sample."""
        self._stop.set()
        self._thread.join(PATIENCE)
        # A sensor that hangs is not asked again: what it told before is all there is.
        if self._goes_on and not self._thread.is_alive():
            self._sample(perf_counter() - self._began)


def summarise(
    name: str, unit: str, samples: Sequence[tuple[float, float]], *, absent: str, mean: float | None = None
) -> list[Reading]:
    """A quantity's mean over the samples and its peak, which carries the samples.

    :param absent: why there is no value, for when there are no samples.
    :param mean: the mean, where it is not that of the samples' values.
    """
    if not samples:
        return [Reading(f"{name} {which}", unit, None, absent) for which in ("mean", "peak")]
    values = [value for _, value in samples]
    return [
        Reading(f"{name} mean", unit, sum(values) / len(values) if mean is None else mean),
        Reading(f"{name} peak", unit, max(values), samples=tuple(samples)),
    ]
