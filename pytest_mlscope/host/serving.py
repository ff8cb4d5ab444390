"""The server scenario on a loaded model: every batch size bound and warm, queries answered as they arrive."""

from typing import Any, Dict, List, Optional

import numpy

from pytest_mlscope.host import memory
from pytest_mlscope.host.arrivals import poisson_arrivals, serve, served_tensors
from pytest_mlscope.host.frames import Arena
from pytest_mlscope.host.measure import warm_up
from pytest_mlscope.host.predictor import LoadedModel, Tensors
from pytest_mlscope.host.sensors import read_sensors
from pytest_mlscope.host.timing_window import BoundQueue


def bound_sizes(batch_size: int, dynamic: bool) -> List[int]:
    """The batch sizes that are bound: powers of two up to ``batch_size`` and itself; where the batch is fixed, that.

    >>> bound_sizes(6, dynamic=True), bound_sizes(6, dynamic=False)
    ([1, 2, 4, 6], [6])
    """
    if not dynamic:
        return [batch_size]
    sizes = []
    size = 1
    while size < batch_size:
        sizes.append(size)
        size *= 2
    return sizes + [batch_size]


class BoundSizes(object):
    """A model bound and warmed up at every batch size queries may be answered in."""

    def __init__(self, model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> None:
        """
        :param inputs: ``batch_size`` rows.
        :param request: ``batch_size``, ``dynamic``, and ``warmup_budget`` in seconds, which the sizes share.
        """
        sizes = bound_sizes(request["batch_size"], request["dynamic"])
        self.runs = {}
        self.call_seconds = {}
        self.warmup_calls = 0
        self.warmup_seconds = 0.0
        self.warmup_reason = "steady"
        self.memory_was_reset = False
        each: List[Dict[str, numpy.ndarray]] = []
        for size in sizes:
            queue = BoundQueue(model, {name: array[:size] for name, array in inputs.items()}, size)
            warmed = warm_up(queue.run, warmup_budget=request["warmup_budget"] / len(sizes))
            # At once: the sizes may share buffers.
            each.append({name: numpy.array(array) for name, array in queue.outputs().items()})
            self.runs[size] = queue.run
            self.call_seconds[size] = warmed.call_ns / 1e9
            self.call_path = queue.call_path
            self.memory_was_reset = queue.memory_was_reset
            self.warmup_calls += warmed.calls
            self.warmup_seconds += warmed.seconds
            # One size that was not steady is enough to make the whole doubtful.
            if warmed.reason != "steady":
                self.warmup_reason = warmed.reason
        outputs: Dict[str, List[numpy.ndarray]] = {}
        for name in sorted({name for tensors in each for name in tensors}):
            # A size whose predictions are equal was not predicted again.
            instead = name.replace("again:", "predicted:", 1) if name.startswith("again:") else name
            for tensors in each:
                array = tensors[name if name in tensors else instead]
                outputs.setdefault(name, []).append(array.reshape((-1,) + array.shape[1:]))
        self.outputs = {name: numpy.concatenate(arrays) for name, arrays in outputs.items()}


class Serving(object):
    """Bound sizes, waiting to be told at which rate queries arrive."""

    def __init__(self, model: LoadedModel, inputs: Tensors, request: Dict[str, Any]) -> None:
        """Parameters as of :class:`BoundSizes`."""
        self._bound = BoundSizes(model, inputs, request)

    def opened(self, arena: Arena) -> Dict[str, Any]:
        """The reply to ``open_server``; the outputs of all sizes are stacked."""
        bound = self._bound
        sizes = sorted(bound.runs)
        return {
            "tensors": arena.write(bound.outputs),
            "call_path": bound.call_path,
            "sizes": sizes,
            "call_seconds": [bound.call_seconds[size] for size in sizes],
            "warmup_calls": int(bound.warmup_calls),
            "warmup_seconds": float(bound.warmup_seconds),
            "warmup_reason": bound.warmup_reason,
            "peak_memory_since": "window" if bound.memory_was_reset else "start",
        }

    def serve(self, request: Dict[str, Any], scheduled: Optional[numpy.ndarray], arena: Arena) -> Dict[str, Any]:
        """Let queries arrive. The reply to ``serve``.

        :param scheduled: their times in ns, int64, ascending; drawn from the request where ``None``.
        :param request: ``qps``, ``seconds`` that they arrive for, ``seed``, and ``limit`` in seconds, after which what
            waits is left unanswered.
        """
        if scheduled is None:
            scheduled = poisson_arrivals(request["qps"], request["seconds"], request["seed"])
        before = read_sensors()
        served = serve(self._bound.runs, scheduled, request["limit"])
        after = read_sensors()
        answered = len(served.completed)
        return {
            "tensors": arena.write(served_tensors(served)),
            "queries": len(scheduled),
            "unanswered": int(served.unanswered),
            "last_arrival_seconds": float(scheduled[-1]) / 1e9,
            "window_seconds": float(served.completed[-1]) / 1e9 if answered else 0.0,
            "peak_memory": memory.peak_bytes(),
            "sensors": [before, after],
        }
