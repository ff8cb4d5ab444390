"""The client of a predictor host: one method for each thing it can be asked, each with a typed reply."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_mlscope.deadline import Timeout
from pytest_mlscope.hosts.load_requests import LoadRequest
from pytest_mlscope.hosts.loadgen_settings import LoadGenSettings
from pytest_mlscope.hosts.replies import (
    Examined,
    LayerOutputs,
    Loaded,
    Predicted,
    ProfiledLayers,
    Unloaded,
)
from pytest_mlscope.hosts.started_host import Inputs, StartedHost
from pytest_mlscope.hosts.timing_replies import Block, LoadGenRun, Measured, OpenedBlocks, OpenedServer, Served

GROWTH_BYTES = 200 * 1000**2
"""How much more memory than before its first model a host may keep after unloading and still be used again."""


E = TypeVar("E", bound=Examined)


def _batches_of(inputs: Inputs) -> tuple[dict[str, Any], Inputs]:
    """What a request says of its batches, and its tensors.

    :param inputs: rows; or arrays of objects, of an array for each batch.
    """
    if not any(array.dtype == object for array in inputs.values()):
        return {}, inputs
    # The protocol has no arrays of arrays; the host takes the number before the colon as the batch.
    tensors = {f"{index}:{name}": batch for name, array in inputs.items() for index, batch in enumerate(array)}
    return {"batches": len(next(iter(inputs.values())))}, tensors


class HostClient(StartedHost):
    """A running host. Not for use from several threads at once, except :meth:`kill`.

    Whatever asks it takes ``timeout``, as of :data:`~pytest_mlscope.deadline.Timeout`, and raises:

    - ``NotSupported`` when the predictor says that what was asked for is unsupported;
    - ``PredictorError`` when the framework raised; the host lives on;
    - ``HostTimeout`` when there is no reply by then; the host is killed;
    - ``HostCrashed`` when the host died;
    - ``UnreadableReply`` when the reply is not as the protocol says; the host is killed;
    - ``HostError``, which the four above are, when inputs cannot be passed.

    Inputs and outputs have the framework's names, dtypes and layouts. Tensors of a reply are copies, unless it says
    otherwise.
    """

    _has_loaded = False

    def load(self, request: LoadRequest, *, timeout: Timeout) -> Loaded:
        """Load a model in place of the one before; tensors in place become invalid."""
        # Also when loading fails: what was read until then may stay in memory.
        self._has_loaded = True
        self._channel.discard_arenas()
        return self._ask(Loaded, "load", request.header(), timeout=timeout, doing="loading the model")

    def unload(self, *, timeout: Timeout) -> Unloaded:
        """Unload the model, if any; tensors in place become invalid."""
        self._channel.discard_arenas()
        return self._ask(Unloaded, "unload", timeout=timeout, doing="unloading the model")

    def clear(self, *, timeout: Timeout) -> bool:
        """Unload; whether memory is near what it was before the first model: at most ``GROWTH_BYTES`` or half more.

        True where memory is not known.
        """
        if not self._has_loaded:
            return True
        resident, start = self.unload(timeout=timeout).resident, self.started.resident
        return resident is None or start is None or resident <= max(start + GROWTH_BYTES, start * 3 // 2)

    def submit_predict(self, inputs: Inputs, *, batch_size: int, pad: bool) -> None:
        """Send rows to be predicted in batches, without waiting; at most ``DEPTH`` may be under way.

        :param pad: fill a short last batch up.
        """
        header = {"batch_size": batch_size, "pad": pad}
        self._channel.submit("predict", header, inputs, doing="predicting")

    def receive_predict(self, rows: int, *, timeout: Timeout) -> Predicted:
        """The oldest prediction under way; its outputs are in place until ``DEPTH`` further requests were sent.

        :param rows: how many it was of.
        """
        predicted = self._reply(Predicted, timeout=timeout, doing="predicting", in_place=True)
        # Checked here, where they arrive: fewer or other rows would be scored against the labels of others.
        if wrong := predicted.wrong_rows(rows):
            raise self._channel.unreadable("predicting", wrong)
        return predicted

    def predict(self, inputs: Inputs, *, batch_size: int, pad: bool = False, timeout: Timeout) -> Predicted:
        """Predict rows in batches; the outputs are in place until ``DEPTH`` further requests were sent.

        :param pad: fill a short last batch up.
        """
        self.submit_predict(inputs, batch_size=batch_size, pad=pad)
        return self.receive_predict(len(next(iter(inputs.values()))), timeout=timeout)

    def measure(
        self,
        inputs: Inputs,
        *,
        batch_size: int,
        pad: bool = False,
        budget: float,
        relative_error: float,
        warmup_budget: float,
        highest_percentile: float = 99.0,
        timeout: Timeout,
    ) -> Measured:
        """Time calls one after another until the median is known well enough, or the budget is used up.

        :param inputs: of one batch, of a query of ``multi_stream``, or of all batches of an offline queue; or, where
            these differ in shape, arrays of objects: of an array for each batch.
        :param budget: seconds, and
        :param warmup_budget: seconds.
        :param relative_error: of the median, at which the window may end.
        :param highest_percentile: the window is not prolonged for one beyond it.
        """
        several, tensors = _batches_of(inputs)
        header = {
            **several,
            "batch_size": batch_size,
            "pad": pad,
            "budget": budget,
            "relative_error": relative_error,
            "warmup_budget": warmup_budget,
            "highest_percentile": highest_percentile,
        }
        return self._ask(Measured, "measure", header, tensors, timeout=timeout, doing="measuring latency")

    def open_blocks(
        self,
        inputs: Inputs,
        *,
        batch_size: int,
        pad: bool = False,
        warmup_budget: float,
        slowdown: float | None = None,
        timeout: Timeout,
    ) -> OpenedBlocks:
        """Bind inputs and warm up, to time blocks of calls.

        :param warmup_budget: seconds.
        :param slowdown: fraction by which each call is made to last longer, for audits.
        """
        several, tensors = _batches_of(inputs)
        window = {"batch_size": batch_size, "pad": pad, "warmup_budget": warmup_budget, "slowdown": slowdown}
        header = {**several, **window}
        return self._ask(OpenedBlocks, "open_blocks", header, tensors, timeout=timeout, doing="warming up")

    def block(self, *, calls: int, timeout: Timeout) -> Block:
        """Time so many calls of what :meth:`open_blocks` bound."""
        return self._ask(Block, "block", {"calls": calls}, timeout=timeout, doing="measuring latency")

    def open_server(
        self, inputs: Inputs, *, batch_size: int, dynamic: bool, warmup_budget: float, timeout: Timeout
    ) -> OpenedServer:
        """Bind inputs at every batch size and warm up, to serve queries.

        :param inputs: of one batch.
        :param dynamic: whether batches may be smaller than ``batch_size``.
        :param warmup_budget: seconds.
        """
        header = {"batch_size": batch_size, "dynamic": dynamic, "warmup_budget": warmup_budget}
        return self._ask(OpenedServer, "open_server", header, inputs, timeout=timeout, doing="warming up")

    def serve(self, *, qps: float, seconds: float, seed: int, limit: float, timeout: Timeout) -> Served:
        """Let queries arrive as a Poisson process, after :meth:`open_server`.

        :param qps: queries a second.
        :param seconds: for which they arrive.
        :param limit: seconds after which the rest is left unanswered.
        """
        header = {"qps": qps, "seconds": seconds, "seed": seed, "limit": limit}
        return self._ask(Served, "serve", header, timeout=timeout, doing="serving queries")

    def serve_scheduled(self, scheduled_ns: NDArray[np.int64], *, limit: float, timeout: Timeout) -> Served:
        """Let queries arrive when they are told to, after :meth:`open_server`.

        :param scheduled_ns: ascending, shape ``(n,)``.
        :param limit: seconds after which the rest is left unanswered.
        """
        tensors = {"scheduled_ns": scheduled_ns}
        return self._ask(Served, "serve", {"limit": limit}, tensors, timeout=timeout, doing="serving queries")

    def loadgen(self, settings: LoadGenSettings, inputs: Inputs, *, timeout: Timeout) -> LoadGenRun:
        """Run MLPerf's LoadGen.

        :param inputs: of one batch.
        """
        return self._ask(LoadGenRun, "loadgen", settings.header(), inputs, timeout=timeout, doing="running LoadGen")

    def layers(self, inputs: Inputs, *, runs: int, timeout: Timeout) -> ProfiledLayers:
        """Profile predictions of one batch. The model must be loaded anew before it is measured."""
        return self._ask(ProfiledLayers, "layers", {"runs": runs}, inputs, timeout=timeout, doing="profiling layers")

    def outputs(self, batch: Inputs, *, timeout: Timeout) -> LayerOutputs:
        """Outputs of one batch in whatever shape, in place until ``DEPTH`` further requests were sent."""
        doing = "predicting the layers"
        self._channel.submit("outputs", None, batch, doing=doing)
        # In place: the layers of a window may be tens of megabytes a batch.
        return self._reply(LayerOutputs, timeout=timeout, doing=doing, in_place=True)

    def examine(self, kind: type[E], inputs: Inputs, *, timeout: Timeout, seconds: float | None = None) -> E:
        """Facts that only the host sees, with one batch.

        :param kind: ``ExaminedInputs``, ``ExaminedOutputs``, ``ExaminedBound`` or ``ExaminedWork``.
        :param seconds: for which to work, of ``ExaminedWork``.
        """
        header = {"aspect": kind.aspect} if seconds is None else {"aspect": kind.aspect, "seconds": seconds}
        return self._ask(kind, "examine", header, inputs, timeout=timeout, doing=f"examining {kind.aspect}")
