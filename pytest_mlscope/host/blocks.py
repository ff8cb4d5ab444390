"""Timed blocks of calls on request, so that two hosts can be timed in turns."""

import time
from typing import Any, Callable, Dict, List, Union

import numpy

from pytest_mlscope.host import memory
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.measure import time_block, warm_up
from pytest_mlscope.host.predictor import LoadedModel, Tensors
from pytest_mlscope.host.timing_window import BoundQueue


def slowed(run: Callable[[], Any], fraction: float) -> Callable[[], None]:
    """The same call, made to last longer by this fraction of what it lasted: a known regression, for audits.

    Reading the clock costs a little by itself, so that what it is compared with is slowed by 0.
    """
    clock = time.perf_counter

    # It spins: a sleep ends up to 50 µs late, which is more than a fast call lasts.
    def slow() -> None:
        start = clock()
        run()
        now = clock()
        until = now + (now - start) * fraction
        while now < until:
            now = clock()

    return slow


class TimedBlocks(object):
    """A model with inputs bound, warm, waiting to be told how many calls to time."""

    def __init__(self, model: LoadedModel, inputs: Union[Tensors, List[Tensors]], request: Dict[str, Any]) -> None:
        ":param request: ``batch_size``, ``pad``, ``warmup_budget`` as for ``measure``; ``slowdown``: fraction or None."
        self._queue = BoundQueue(model, inputs, request["batch_size"], request.get("pad", False))
        slowdown = request.get("slowdown")
        self._run = self._queue.run if slowdown is None else slowed(self._queue.run, slowdown)
        self.warmed = warm_up(self._run, warmup_budget=request["warmup_budget"])

    def opened(self, arena: Arena) -> Dict[str, Any]:
        """The reply to ``open_blocks``."""
        return {
            "tensors": arena.write(self._queue.outputs()),
            "call_path": self._queue.call_path,
            "peak_memory_since": "window" if self._queue.memory_was_reset else "start",
            "call_seconds": self.warmed.call_ns / 1e9,
            "warmup_calls": self.warmed.calls,
            "warmup_seconds": self.warmed.seconds,
            "warmup_reason": self.warmed.reason,
        }

    def block(self, calls: int, arena: Arena) -> Dict[str, Any]:
        """Time so many calls. The reply to ``block``."""
        samples = numpy.asarray(time_block(self._run, calls), dtype=numpy.int64)
        return {"tensors": arena.write({"samples_ns": samples}), "peak_memory": memory.peak_bytes()}
