"""The predictor host's main loop: one request in, one reply out, in order, until the pipe closes."""

import gc
import importlib.util
import os
import platform
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Union

import numpy

from pytest_mlscope.host import batches, memory, timing_window
from pytest_mlscope.host.batch_first import BatchFirst
from pytest_mlscope.host.batch_trial import BatchTrial
from pytest_mlscope.host.blocks import TimedBlocks
from pytest_mlscope.host.conformance import examine
from pytest_mlscope.host.frames import PROTOCOL_VERSION, Arena, ProtocolError, read_frame, write_frame
from pytest_mlscope.host.layer_profile import profile_layers
from pytest_mlscope.host.libraries import installed_libraries
from pytest_mlscope.host.loadgen import run_loadgen
from pytest_mlscope.host.predictor import LoadedModel, LoadRequest, Predictor, TensorDescription, Tensors, Unsupported
from pytest_mlscope.host.returned import WrongReturn, check_model, check_outputs
from pytest_mlscope.host.sensors import thread_variables, usable_cpus
from pytest_mlscope.host.serving import Serving

Header = Dict[str, Any]

PREDICTOR_MODULE = "mlscope_predictor"


def error_message(error: BaseException) -> str:
    """An exception as one line: its class, unless it says nothing, and its message."""
    text = " ".join(str(error).split())
    if isinstance(error, WrongReturn):
        return text
    return "{}: {}".format(type(error).__name__, text) if text else type(error).__name__


def raised_on_purpose(error: BaseException) -> bool:
    """Whether a ``raise`` statement of the predictor's own says what is wrong, so that a traceback adds nothing."""
    if isinstance(error, WrongReturn):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    predictor = getattr(sys.modules.get(PREDICTOR_MODULE), "__file__", None)
    return bool(frames) and frames[-1][0] == predictor and (frames[-1][3] or "").startswith("raise ")


class Server(object):
    """Holds the predictor and at most one loaded model."""

    def __init__(self, arenas: List[Arena]) -> None:
        half = len(arenas) // 2
        self._incoming = arenas[:half]
        self._outgoing = arenas[half:]
        self._predictor: Optional[Predictor] = None
        self._model: Optional[LoadedModel] = None
        self._trial: Optional[BatchTrial] = None
        self._blocks: Optional[TimedBlocks] = None
        self._serving: Optional[Serving] = None
        self.operations: Dict[str, Callable[[Header], Header]] = {
            "start": self._start,
            "clock": self._clock,
            "load": self._load,
            "predict": self._predict,
            "measure": self._measure,
            "open_blocks": self._open_blocks,
            "block": self._block,
            "open_server": self._open_server,
            "serve": self._serve,
            "loadgen": self._loadgen,
            "layers": self._layers,
            "outputs": self._outputs,
            "examine": self._examine,
            "unload": self._unload,
        }

    def _start(self, request: Header) -> Header:
        began = time.perf_counter()
        path = request["predictor"]
        # By path: were frameworks/ on sys.path, its folder jax/ would be imported in place of JAX.
        spec = importlib.util.spec_from_file_location(PREDICTOR_MODULE, path)
        if spec is None or spec.loader is None:
            raise ImportError("{} cannot be loaded as Python".format(path))
        module = importlib.util.module_from_spec(spec)
        # Before it runs: dataclasses, for one, look their module up by name.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        kind = getattr(module, "FrameworkPredictor", None)
        if kind is None:
            raise ImportError("{} defines no class FrameworkPredictor".format(path))
        self._predictor = kind()
        devices = self._predictor.devices()
        return {
            "version": str(self._predictor.version()),
            "build": {str(k): str(v) for k, v in self._predictor.build_information().items()},
            "devices": None if devices is None else [str(device) for device in devices],
            "python": platform.python_version(),
            "libraries": installed_libraries(),
            "seconds": time.perf_counter() - began,
            "resident": memory.resident_bytes(),
            "cpus": usable_cpus(),
            "thread_variables": thread_variables(),
        }

    def _clock(self, request: Header) -> Header:
        """Both clocks in seconds: times of calls are ``perf_counter``'s, which starts anywhere."""
        return {"monotonic": time.perf_counter(), "wall": time.time()}

    def _load(self, request: Header) -> Header:
        if self._predictor is None:
            raise RuntimeError("load before start")
        # Two models at once would need the memory of both.
        self._unload(request)
        descriptions = [TensorDescription(d["name"], d["dtype"], d["shape"]) for d in request["inputs"]]
        began = time.perf_counter()
        model = self._predictor.load(
            LoadRequest(
                request["files"],
                request["device"],
                request["precision"],
                request["threads"],
                request["batch_size"],
                descriptions,
                request["outputs"],
                request["options"],
            )
        )
        seconds = time.perf_counter() - began
        check_model(model)
        input_batches, output_batches = request.get("input_batches"), request.get("output_batches")
        if input_batches or output_batches:
            model = BatchFirst(model, input_batches or {}, output_batches or {})
        self._model = model
        stated = request.get("stated_batches")
        self._trial = None if stated is None else BatchTrial(stated)
        return {"seconds": seconds, "resolved": dict(model.resolved)}

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise RuntimeError("no model is loaded")
        return self._model

    def _predict(self, request: Header) -> Header:
        arena = request["arena"]
        inputs = self._incoming[arena].read(request["tensors"])
        model = self._loaded()
        reply = batches.predict_batches(
            model.predict,
            inputs,
            request["batch_size"],
            request["pad"],
            self._outgoing[arena],
            error_message,
            returns_new_arrays=model.returns_new_arrays,
        )
        # Rows that were predicted one by one have each been checked.
        if self._trial is not None and "parts" not in reply:
            self._trial.check(model.predict, inputs, request["batch_size"], request["pad"], reply["tensors"])
        return reply

    def _own_batches(self, request: Header) -> Union[Tensors, List[Tensors]]:
        """Rows to be cut into batches; or, where these differ in shape, the batches."""
        tensors = self._own_inputs(request)
        batches: List[Tensors] = [{} for _ in range(request.get("batches", 0))]
        for name, array in tensors.items() if batches else ():
            number, _, name = name.partition(":")
            batches[int(number)][name] = array
        return batches or tensors

    def _own_inputs(self, request: Header) -> Tensors:
        tensors = self._incoming[request["arena"]].read(request["tensors"])
        # The arena is the pytest process's to overwrite; what is bound must stay.
        return {name: numpy.array(array) for name, array in tensors.items()}

    def _measure(self, request: Header) -> Header:
        arena = request["arena"]
        inputs = self._own_batches(request)
        self._free()
        return timing_window.measure_window(self._loaded(), inputs, request, self._outgoing[arena])

    def _open_blocks(self, request: Header) -> Header:
        inputs = self._own_batches(request)
        self._free()
        self._blocks = TimedBlocks(self._loaded(), inputs, request)
        return self._blocks.opened(self._outgoing[request["arena"]])

    def _block(self, request: Header) -> Header:
        if self._blocks is None:
            raise RuntimeError("block before open_blocks")
        return self._blocks.block(request["calls"], self._outgoing[request["arena"]])

    def _open_server(self, request: Header) -> Header:
        inputs = self._own_inputs(request)
        self._free()
        self._serving = Serving(self._loaded(), inputs, request)
        return self._serving.opened(self._outgoing[request["arena"]])

    def _serve(self, request: Header) -> Header:
        if self._serving is None:
            raise RuntimeError("serve before open_server")
        scheduled = self._own_inputs(request).get("scheduled_ns")
        return self._serving.serve(request, scheduled, self._outgoing[request["arena"]])

    def _loadgen(self, request: Header) -> Header:
        return run_loadgen(self._loaded(), self._own_inputs(request), request, self._outgoing[request["arena"]])

    def _layers(self, request: Header) -> Header:
        return profile_layers(self._loaded(), self._own_inputs(request), request["runs"])

    def _outputs(self, request: Header) -> Header:
        """Of one batch, in whatever shape: unlike a prediction's, they need not be one row each."""
        arena = request["arena"]
        outputs = self._loaded().predict(self._incoming[arena].read(request["tensors"]))
        check_outputs(outputs, "predict")
        return {"tensors": self._outgoing[arena].write(outputs), "peak_memory": memory.peak_bytes()}

    def _examine(self, request: Header) -> Header:
        return examine(self._loaded(), self._own_inputs(request), request)

    def _unload(self, request: Header) -> Header:
        self._blocks = None
        self._serving = None
        if self._model is not None:
            model, self._model = self._model, None
            model.unload()
            # The last reference, so that the collection below frees it.
            del model
        gc.collect()
        self._free()
        return {"resident": memory.resident_bytes()}

    def _free(self) -> None:
        """Else a peak of memory would hold the largest chunk that ever passed."""
        for arena in self._incoming + self._outgoing:
            arena.forget()
        memory.return_free_memory()


def _answer(replies: int, reply: Header) -> None:
    try:
        write_frame(replies, reply)
    except (ProtocolError, TypeError, ValueError) as error:
        # Nothing was written yet: the reply, such as what ``resolved`` holds, is no JSON.
        write_frame(replies, {"error": {"kind": "exception", "message": error_message(error), "traceback": ""}})


def serve(requests: int, replies: int, arena_descriptors: List[int]) -> int:
    """Answer requests until the pipe closes; returns the exit status.

    A request that fails is answered with ``error``; only the end of the pipe ends the host.
    """
    server = Server([Arena(descriptor) for descriptor in arena_descriptors])
    write_frame(replies, {"protocol": PROTOCOL_VERSION, "pid": os.getpid()})
    while True:
        try:
            request = read_frame(requests)
        except EOFError:
            return 0
        try:
            operation = server.operations.get(request.get("operation", ""))
            if operation is None:
                raise RuntimeError("unknown operation {!r}".format(request.get("operation")))
            reply = operation(request)
        except Unsupported as error:
            reply = {"error": {"kind": "unsupported", "message": " ".join(str(error).split()), "holds": error.holds}}
        # By itself: a traceback would need memory.
        except MemoryError:
            reply = {"error": {"kind": "exception", "message": "MemoryError: out of memory"}}
        except Exception as error:
            reply = {
                "error": {
                    "kind": "exception",
                    "message": error_message(error),
                    # The innermost frames: the outer ones are this loop's.
                    "traceback": "" if raised_on_purpose(error) else traceback.format_exc(limit=-12)[-8192:],
                }
            }
        # Before the reply: whoever reads an error looks at once for what was printed.
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            _answer(replies, reply)
        except BrokenPipeError:
            return 0
