"""Timed blocks of calls on request, so that two hosts can be timed in turns."""

from typing import Any, Dict

import numpy

from pytest_mlscope.host import memory
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.measure import time_block, warm_up
from pytest_mlscope.host.predictor import LoadedModel, Tensors
from pytest_mlscope.host.timing_window import BoundQueue


class TimedBlocks(object):
    """A model with inputs bound, warm, waiting to be told how many calls to time."""

    def __init__(self, model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> None:
        """:param request: ``batch_size`` and ``warmup_budget``, as for ``measure``."""
        self._queue = BoundQueue(model, inputs, request["batch_size"])
        self.warmed = warm_up(self._queue.run, warmup_budget=request["warmup_budget"])

    def opened(self, arena: Arena) -> Dict[str, Any]:
        """The reply to ``open_blocks``."""
        return {
            "tensors": arena.write(self._queue.outputs()),
            "call_path": self._queue.call_path,
            "call_seconds": self.warmed.call_ns / 1e9,
            "warmup_calls": self.warmed.calls,
            "warmup_seconds": self.warmed.seconds,
            "warmup_reason": self.warmed.reason,
        }

    def block(self, calls: int, arena: Arena) -> Dict[str, Any]:
        """Time so many calls. The reply to ``block``."""
        samples = numpy.asarray(time_block(self._queue.run, calls), dtype=numpy.int64)
        return {"tensors": arena.write({"samples_ns": samples}), "peak_memory": memory.peak_bytes()}
