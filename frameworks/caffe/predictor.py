"""Caffe 1.0 on the CPU.

Caffe ends its process at what it does not like, so files, weights and inputs are checked here before it sees them.
"""

import ctypes
import os
import statistics
import time
from typing import Any, Dict, List, Optional, Tuple

# Caffe logs every layer of every net it makes.
os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from pytest_mlscope.host.predictor import Bound, Layer, LoadedModel, LoadRequest, Predictor, Tensors, Unsupported

_MOST_VALUES = 2**31 - 1
"""What a blob may hold; Caffe ends the process beyond it."""
_REACHING_OUT = {"Python", "Data", "HDF5Data", "HDF5Output", "ImageData", "WindowData"}
"""Types of layers that run Python code, or read or write files that the net names."""
# The same layers in prototxts of the older format, which has no Python layer.
_REACHING_OUT_V1 = {"DATA", "HDF5_DATA", "HDF5_OUTPUT", "IMAGE_DATA", "WINDOW_DATA"}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600]


def _openblas() -> Any:
    """The OpenBLAS that this process has loaded, ``None`` where it has another BLAS."""
    # By what is mapped: any other file of that name would be a second OpenBLAS, with threads of its own.
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "libopenblas" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        if hasattr(library, "openblas_set_num_threads"):
            library.openblas_get_config.restype = ctypes.c_char_p
            library.openblas_get_corename.restype = ctypes.c_char_p
            return library
    return None


def _threads(asked: Optional[int]) -> Optional[int]:
    """Caffe computes in the calling thread; only its BLAS has more."""
    openblas = _openblas()
    if openblas is None:
        if asked is not None:
            raise Unsupported("this Caffe's BLAS is not OpenBLAS, so that its threads can be neither set nor read back")
        return None
    if asked is not None:
        openblas.openblas_set_num_threads(asked)
    obtained = int(openblas.openblas_get_num_threads())
    if asked not in (None, obtained):
        raise Unsupported("{} threads were asked for and OpenBLAS takes {}".format(asked, obtained))
    return obtained


def _read_prototxt(path: str) -> None:
    """Check what Caffe would end the process for, or must not be let do.

    :raises ValueError: when it is no net, or has layers that reach out of the net or that this Caffe lacks.
    """
    file_name = os.path.basename(path)
    net = caffe_pb2.NetParameter()
    try:
        with open(path, encoding="utf-8") as prototxt:
            text_format.Merge(prototxt.read(), net)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError("{}: not a prototxt of a net: {}".format(file_name, _one_line(error))) from None
    kinds = [(layer.name, layer.type, _REACHING_OUT) for layer in net.layer]
    type_name = caffe_pb2.V1LayerParameter.LayerType.Name
    kinds += [(layer.name, type_name(layer.type), _REACHING_OUT_V1) for layer in net.layers]
    if not kinds:
        raise ValueError("{}: a net without layers".format(file_name))
    known = set(caffe.layer_type_list())
    for name, kind, refused in kinds:
        if kind in refused:
            raise ValueError("{}: layer {!r} is refused: {} reaches files or code".format(file_name, name, kind))
        if refused is _REACHING_OUT and kind not in known:
            raise ValueError("{}: layer {!r}: this Caffe has no type {!r}".format(file_name, name, kind))


def _shape(blob: Any) -> Tuple[int, ...]:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _same_shape(stored: Tuple[int, ...], wanted: Tuple[int, ...]) -> bool:
    # Models from before 2014 state four dimensions for everything, ones first.
    return stored == wanted or (len(stored) == 4 and stored == (1,) * (4 - len(wanted)) + wanted)


def _stored_shapes(path: str) -> Dict[str, List[Tuple[int, ...]]]:
    """Shapes of the weights of each layer of a caffemodel."""
    weights = caffe_pb2.NetParameter()
    try:
        with open(path, "rb") as caffemodel:
            weights.ParseFromString(caffemodel.read())
    except DecodeError:
        raise ValueError("{}: not a caffemodel".format(os.path.basename(path))) from None
    layers = list(weights.layer) + list(weights.layers)
    return {layer.name: [_shape(blob) for blob in layer.blobs] for layer in layers if layer.blobs}


def _check_weights(file_name: str, net: Any, stored: Dict[str, List[Tuple[int, ...]]]) -> None:
    """:raises ValueError: where a layer's weights are missing or of another shape."""
    # Caffe ends the process at a wrong shape, and leaves zeros where a layer is missing.
    for name, blobs in net.params.items():
        wanted = [tuple(blob.shape) for blob in blobs]
        if name not in stored:
            raise ValueError("{}: no weights for layer {!r} of the prototxt".format(file_name, name))
        if len(stored[name]) != len(wanted) or not all(map(_same_shape, stored[name], wanted)):
            raise ValueError(
                "{}: weights of layer {!r} are {}; the prototxt wants {}".format(file_name, name, stored[name], wanted)
            )


class _Model(LoadedModel):
    """A net, whose blobs hold the inputs of whoever set them last."""

    returns_new_arrays = True

    def __init__(self, net: Any, request: LoadRequest, resolved: Dict[str, Any]) -> None:
        self._net = net
        self._last = len(net.layers) - 1
        self._inputs = {name: net.blobs[name] for name in net.inputs}
        self._shapes = {name: tuple(blob.shape) for name, blob in self._inputs.items()}
        self._outputs = {name: net.blobs[name] for name in request.outputs}
        # The bound batch whose inputs lie in the blobs; None after a plain prediction.
        self._held: Optional[Tensors] = None
        self.resolved = resolved

    def predict(self, inputs: Tensors) -> Tensors:
        """``Net._forward`` over all layers; outputs are copied out of the net's blobs."""
        self._set(inputs)
        self._net._forward(0, self._last)
        self._held = None
        return self._copies()

    def bind(self, inputs: Tensors) -> Bound:
        """What was put into the net's blobs stays there, unless another prediction came between.

        ``_forward`` is what ``Net.forward`` calls; it copies nothing, and returns when the last layer is done.
        """
        forward, last = self._net._forward, self._last

        def run() -> None:
            if self._held is not inputs:
                self._set(inputs)
            forward(0, last)

        def outputs() -> Tensors:
            if self._held is not inputs:
                run()
            return self._copies()

        run()
        return Bound(run, outputs, "caffe.Net._forward")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """Each layer's forward pass by itself, one after the other, as the whole pass runs them."""
        self._set(inputs)
        net, forward, clock = self._net, self._net._forward, time.perf_counter
        kinds = [layer.type for layer in net.layers]
        executed = [index for index, kind in enumerate(kinds) if kind != "Input"]
        seconds: Dict[int, List[float]] = {index: [] for index in executed}
        forward(0, self._last)
        for _ in range(runs):
            for index in executed:
                start = clock()
                forward(index, index)
                seconds[index].append(clock() - start)
        profile = []
        for index in executed:
            name = net._layer_names[index]
            shapes = [list(net.blobs[top].shape) for top in net.top_names[name]]
            # Blobs hold 32-bit floats.
            memory = 4 * sum(int(numpy.prod(shape)) for shape in shapes)
            profile.append(
                Layer(name, kinds[index], statistics.median(seconds[index]), shapes[0] if shapes else None, memory)
            )
        return profile

    def unload(self) -> None:
        self._inputs, self._outputs, self._net, self._held = {}, {}, None, None

    def _copies(self) -> Tensors:
        return {name: numpy.array(blob.data) for name, blob in self._outputs.items()}

    def _set(self, inputs: Tensors) -> None:
        """Check the inputs and copy them into the net, which is reshaped where the batch has another size."""
        # Caffe ends the process at a wrong shape, casts another dtype in silence and ignores an input not set.
        if inputs.keys() != self._shapes.keys():
            raise ValueError("inputs {} given; the net has {}".format(sorted(inputs), sorted(self._shapes)))
        for name, array in inputs.items():
            declared = self._shapes[name]
            if array.dtype != numpy.float32:
                raise ValueError("input {!r} is {}; Caffe takes float32".format(name, array.dtype))
            if array.shape[1:] != declared[1:] or array.ndim != len(declared) or not array.size:
                message = "input {!r} is {}; the prototxt says {}, where the first may be any from 1"
                raise ValueError(message.format(name, list(array.shape), list(declared)))
            if array.size > _MOST_VALUES:
                raise ValueError("input {!r} has {} values; Caffe takes {}".format(name, array.size, _MOST_VALUES))
        for name, array in inputs.items():
            blob = self._inputs[name]
            if tuple(blob.shape) != array.shape:
                blob.reshape(*array.shape)
            blob.data[...] = array
        self._held = inputs


class FrameworkPredictor(Predictor):
    """The CPU build of Caffe, whose only threads are those of its BLAS."""

    def version(self) -> str:
        return str(caffe.__version__)

    def build_information(self) -> Dict[str, str]:
        openblas = _openblas()
        if openblas is None:
            return {}
        return {
            "blas": openblas.openblas_get_config().decode(),
            "blas kernels": openblas.openblas_get_corename().decode(),
        }

    def load(self, request: LoadRequest) -> LoadedModel:
        """Make the net from the prototxt, and fill in the weights of the caffemodel. Caffe computes in fp32 alone."""
        if request.device != "CPU":
            raise Unsupported("this Caffe runs on the CPU alone, not on " + request.device)
        if request.precision not in ("fp32", "framework_default"):
            raise Unsupported("Caffe computes in fp32; it has no " + request.precision)
        threads = _threads(request.threads)
        caffe.set_mode_cpu()
        prototxt, caffemodel = request.files["prototxt"], request.files["model"]
        _read_prototxt(prototxt)
        stored = _stored_shapes(caffemodel)
        # Without the weights at first: Caffe ends the process where these do not fit, and only the net tells what does.
        net = caffe.Net(prototxt, caffe.TEST)
        _check_weights(os.path.basename(caffemodel), net, stored)
        net.copy_from(caffemodel)
        _check_names(os.path.basename(prototxt), net, request)
        return _Model(net, request, {"precision": "fp32", "threads": threads, "mode": "CPU"})


def _check_names(file_name: str, net: Any, request: LoadRequest) -> None:
    """:raises ValueError: for names or shapes that are not the net's."""
    inputs = [description.name for description in request.inputs]
    for what, asked, present in (("input", inputs, list(net.inputs)), ("output", request.outputs, list(net.blobs))):
        for name in asked:
            if name not in present:
                raise ValueError("{}: no {} {!r}; the net has {}".format(file_name, what, name, ", ".join(present)))
    missing = [name for name in net.inputs if name not in inputs]
    if missing:
        raise ValueError("{}: input {} is not given".format(file_name, ", ".join(missing)))
    for description in request.inputs:
        declared = list(net.blobs[description.name].shape)
        fits = [asked in (None, present) for asked, present in zip(description.shape[1:], declared[1:])]
        if description.dtype != "float32" or len(description.shape) != len(declared) or not all(fits):
            message = "{}: input {!r} is {} {}; the net takes float32 {}, where the first may be any"
            raise ValueError(
                message.format(file_name, description.name, description.dtype, description.shape, declared)
            )
