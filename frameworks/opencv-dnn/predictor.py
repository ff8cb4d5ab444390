"""The dnn module of OpenCV 4: ONNX files and Caffe nets, in fp32 on the CPU."""

import os
import statistics
from typing import Any, Dict, List, Optional

import cv2
import numpy

from pytest_mlscope.host.onnx_file import NotOnnx, onnx_content
from pytest_mlscope.host.predictor import (
    Bound,
    Layer,
    LoadedModel,
    LoadRequest,
    NoSuchName,
    Predictor,
    Tensors,
    Unsupported,
)

_BUILD_FACTS = ("Parallel framework:", "Baseline:", "Dispatched code generation:", "Lapack:")


def _one_line(error: BaseException) -> str:
    # A cv2.error's text begins with positions in OpenCV's own source code; its `err` is the sentence.
    return " ".join(str(getattr(error, "err", "") or error).split())[:600]


def _check_precision(request: LoadRequest) -> None:
    """16-bit weights are widened when they are read; a quantised graph is another network, though fp32 computes it."""
    if request.precision != "fp32" or "prototxt" in request.files:
        return
    try:
        content = onnx_content(request.files["model"])
    except NotOnnx:
        return  # OpenCV says what is wrong with it
    if content.precision in ("int8", "int4", "fp8"):
        raise Unsupported(
            "{}: holds {}, not fp32; ask for precision framework_default".format(
                os.path.basename(request.files["model"]), content
            )
        )


class _Model(LoadedModel):
    """A net, which has one set of inputs, whoever set them."""

    def __init__(self, file_name: str, net: Any, request: LoadRequest, resolved: Dict[str, Any]) -> None:
        self._file_name = file_name
        self._net = net
        self._dtypes = {description.name: numpy.dtype(description.dtype) for description in request.inputs}
        self._outputs = list(request.outputs)
        self._set_by: Any = None
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """Set the inputs, and run the net as far as the outputs need."""
        self._set(inputs)
        return dict(zip(self._outputs, self._forward()))

    def bind(self, inputs: Tensors) -> Bound:
        """OpenCV copies a set input into the net, where it stays for every further ``forward`` until another is set.

        Batches share the net, so each has a mark, and is set again only where another one was set since.
        """
        mark = object()
        self._set(inputs, mark)
        self._forward()
        forward = self._net.forward
        names = self._outputs
        latest: List[Any] = []

        # By its name alone, which spares each timed call a list in and out.
        if len(names) == 1:
            name = names[0]

            def run() -> None:
                if self._set_by is not mark:
                    self._set(inputs, mark)
                latest[:] = (forward(name),)
        else:

            def run() -> None:
                if self._set_by is not mark:
                    self._set(inputs, mark)
                latest[:] = forward(names)

        return Bound(run, lambda: dict(zip(names, latest)), "cv2.dnn.Net.forward")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """The net's own clock, in nanoseconds. A layer fused into the one before has no time and is left out."""
        self._set(inputs)
        self._forward()
        ticks = []
        for _ in range(runs):
            self._set(inputs)
            self._forward()
            ticks.append(numpy.ravel(self._net.getPerfProfile()[1]))
        second = cv2.getTickFrequency()
        shapes = self._shapes(inputs)
        layers = []
        for place, name in enumerate(self._net.getLayerNames()):
            median = statistics.median(float(run[place]) for run in ticks)
            if median > 0:
                identity = self._net.getLayerId(name)
                layers.append(Layer(name, self._net.getLayer(identity).type, median / second, shapes.get(identity)))
        return layers

    def _shapes(self, inputs: Tensors) -> Dict[int, Optional[List[int]]]:
        """First output's shape by layer id. The order in which a net takes several inputs is not available."""
        if len(inputs) != 1 or not hasattr(self._net, "getLayersShapes"):
            return {}
        (array,) = inputs.values()
        try:
            identities, _, outputs = self._net.getLayersShapes(list(array.shape))
        except cv2.error:
            return {}
        return {
            int(identity): [int(size) for size in shapes[0]] if len(shapes) else None
            for identity, shapes in zip(identities, outputs)
        }

    def unload(self) -> None:
        self._net = None

    def _set(self, inputs: Tensors, mark: Any = None) -> None:
        """Set the inputs, and remember whose they are."""
        self._set_by = mark
        # OpenCV casts a wrong dtype in silence and ignores an input that was not set.
        if set(inputs) != set(self._dtypes):
            raise ValueError("inputs {} given; the manifest has {}".format(sorted(inputs), sorted(self._dtypes)))
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise ValueError("input {!r} is {}; the model wants {}".format(name, array.dtype, self._dtypes[name]))
            self._net.setInput(numpy.ascontiguousarray(array), name)

    def _forward(self) -> Any:
        try:
            return self._net.forward(self._outputs)
        except cv2.error as error:
            raise RuntimeError("{}: {}".format(self._file_name, _one_line(error))) from None


class FrameworkPredictor(Predictor):
    """OpenCV on the CPU, the only target that its wheels are good for."""

    def version(self) -> str:
        return str(cv2.__version__)

    def build_information(self) -> Dict[str, str]:
        facts = {}
        for line in cv2.getBuildInformation().splitlines():
            for fact in _BUILD_FACTS:
                if line.strip().startswith(fact):
                    facts[fact[:-1].lower()] = line.split(":", 1)[1].strip()
        return facts

    def load(self, request: LoadRequest) -> LoadedModel:
        """Read the net and try the manifest's names on it, since OpenCV cannot list a net's inputs.

        Its CPU target computes in fp32 alone. ``fp32`` is refused for a quantised file, which is another network.
        """
        if request.device != "CPU":
            raise Unsupported("the OpenCV wheels run on the CPU alone, not on " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("OpenCV computes in fp32 on the CPU; it has no " + request.precision)
        _check_precision(request)
        if request.threads is not None:
            cv2.setNumThreads(request.threads)
            if cv2.getNumThreads() != request.threads:
                raise Unsupported(
                    "{} threads were asked for and OpenCV takes {}".format(request.threads, cv2.getNumThreads())
                )
        file_name = os.path.basename(request.files["model"])
        net = self._read(file_name, request)
        # Stated, since the default is the build's choice: it may be OpenVINO's engine.
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        net.enableFusion(bool(request.options.get("fusion", True)))
        net.enableWinograd(bool(request.options.get("winograd", True)))
        self._check(file_name, net, request)
        resolved = {
            "precision": "fp32",  # the only one its CPU target computes in
            "threads": cv2.getNumThreads(),
            "backend": "DNN_BACKEND_OPENCV",
            "target": "DNN_TARGET_CPU",
        }
        return _Model(file_name, net, request, resolved)

    def _read(self, file_name: str, request: LoadRequest) -> Any:
        try:
            if "prototxt" in request.files:
                return cv2.dnn.readNetFromCaffe(request.files["prototxt"], request.files["model"])
            return cv2.dnn.readNetFromONNX(request.files["model"])
        except cv2.error as error:
            raise RuntimeError("{}: {}".format(file_name, _one_line(error))) from None

    def _check(self, file_name: str, net: Any, request: LoadRequest) -> None:
        """:raises ValueError: for a name that the net does not have."""
        for description in request.inputs:
            shape = [size if size is not None else request.batch_size for size in description.shape]
            try:
                net.setInput(numpy.zeros(shape, description.dtype), description.name)
            except cv2.error as error:
                raise ValueError(
                    "{}: input {!r}: {} (OpenCV cannot list the inputs a model has)".format(
                        file_name, description.name, _one_line(error)
                    )
                ) from None
        layers = set(net.getLayerNames())
        for name in request.outputs:
            if name not in layers:
                raise NoSuchName(file_name, "output", name, net.getUnconnectedOutLayersNames())
