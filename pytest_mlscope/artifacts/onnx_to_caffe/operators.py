"""Each ONNX operator as the Caffe layers that do the same."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pytest_mlscope.artifacts.onnx_to_caffe.files import Array, Layer, Word
from pytest_mlscope.artifacts.onnx_to_caffe.pooling import ROUNDINGS, Axis
from pytest_mlscope.artifacts.onnx_to_caffe.translation import Inexpressible, Node, Shape, Translation

_FOLDED = ("Reshape", "Unsqueeze", "Constant")


def add_node(net: Translation, node: Node) -> None:
    """:raises Inexpressible: when Caffe has no equal."""
    if node.kind in _FOLDED and all(tensor in net.constants for tensor in node.inputs):
        net.constants[node.output] = _folded(net, node)
        return
    operator = _OPERATORS.get(node.kind)
    if operator is None:
        raise Inexpressible(f"known are {', '.join(sorted(_OPERATORS))}")
    operator(net, node)


def _folded(net: Translation, node: Node) -> Array:
    if node.kind == "Constant":
        from onnx import numpy_helper

        return numpy_helper.to_array(node.get("value", None))
    values = net.constants[node.inputs[0]]
    arguments = net.constants[node.inputs[1]].tolist() if len(node.inputs) > 1 else list(node.get("axes", []))
    if node.kind == "Reshape":
        return values.reshape(_reshaped(values.shape, arguments))
    return np.expand_dims(values, tuple(arguments))


def _conv(net: Translation, node: Node) -> None:
    weight = net.constant(node, 1, "weight")
    above, left, below, right = node.pads
    if (above, left) != (below, right) or weight.ndim != 4:
        raise Inexpressible("padding that differs at the two ends, or another number of dimensions than two")
    strides, dilations = node.pair("strides", 1), node.pair("dilations", 1)
    n, _, *size = net.shapes[node.inputs[0]]
    kernel = weight.shape[2:]
    shape = [
        (extent + 2 * pad - dilation * (edge - 1) - 1) // stride + 1
        for extent, pad, dilation, edge, stride in zip(size, (above, left), dilations, kernel, strides, strict=True)
    ]
    parameters = {
        "num_output": weight.shape[0],
        "bias_term": len(node.inputs) > 2,
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "pad_h": above,
        "pad_w": left,
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation": list(dilations),
        "group": node.get("group", 1),
    }
    bias = (net.constant(node, 2, "bias"),) if len(node.inputs) > 2 else ()
    net.add(node, "Convolution", {"convolution_param": parameters}, (n, weight.shape[0], *shape), blobs=(weight, *bias))


def _gemm(net: Translation, node: Node) -> None:
    if node.get("alpha", 1.0) != 1 or node.get("beta", 1.0) != 1 or node.get("transA", 0):
        raise Inexpressible("alpha, beta or transA")
    weight = net.constant(node, 1, "weight")
    weight = weight if node.get("transB", 0) else np.ascontiguousarray(weight.T)
    shape = net.shapes[node.inputs[0]]
    if weight.ndim != 2 or len(shape) != 2:
        raise Inexpressible("matrices of another number of dimensions than two")
    # A bias of one number counts for every output.
    bias = (np.broadcast_to(net.constant(node, 2, "bias"), (1, len(weight)))[0],) if len(node.inputs) > 2 else ()
    parameters = {"num_output": len(weight), "bias_term": bool(bias)}
    net.add(node, "InnerProduct", {"inner_product_param": parameters}, (shape[0], len(weight)), blobs=(weight, *bias))


def _batch_normalization(net: Translation, node: Node) -> None:
    scale, bias, mean, variance = (net.constant(node, position, "weight") for position in range(1, 5))
    parameters = {"batch_norm_param": {"use_global_stats": True, "eps": node.get("epsilon", 1e-5)}}
    # Caffe divides mean and variance by the third blob, the factor of its moving average.
    blobs = (mean, variance, np.ones(1, np.float32))
    net.add(node, "BatchNorm", parameters, net.shapes[node.inputs[0]], blobs=blobs, in_place=True)
    net.then("scale", "Scale", {"scale_param": {"bias_term": True}}, scale, bias)


def _relu(net: Translation, node: Node) -> None:
    net.add(node, "ReLU", {}, net.shapes[node.inputs[0]], in_place=True)


def _dropout(net: Translation, node: Node) -> None:
    parameters = {"dropout_param": {"dropout_ratio": node.get("ratio", 0.5)}}
    net.add(node, "Dropout", parameters, net.shapes[node.inputs[0]], in_place=True)


def _pooling_axes(net: Translation, node: Node) -> list[Axis]:
    above, left, below, right = node.pads
    kernel, strides = node.pair("kernel_shape", 1), node.pair("strides", 1)
    if node.pair("dilations", 1) != (1, 1):
        raise Inexpressible("dilations")
    size = net.shapes[node.inputs[0]][2:]
    ceil = bool(node.get("ceil_mode", 0))
    return [
        Axis(extent, edge, stride, begin, end, ceil)
        for extent, edge, stride, begin, end in zip(size, kernel, strides, (above, left), (below, right), strict=True)
    ]


def _pool(net: Translation, node: Node) -> None:
    axes = _pooling_axes(net, node)
    rows, columns = axes
    n, channels = net.shapes[node.inputs[0]][:2]
    shape = (n, channels, rows.windows, columns.windows)
    pool = "MAX" if node.kind == "MaxPool" else "AVE"
    padded = any(axis.begin for axis in axes)
    fitting = [
        mode for mode in ROUNDINGS if all(axis.caffe_windows(mode, padded=padded) == axis.windows for axis in axes)
    ]
    if fitting:
        parameters = {
            "pool": Word(pool),
            "kernel_h": rows.kernel,
            "kernel_w": columns.kernel,
            "stride_h": rows.stride,
            "stride_w": columns.stride,
            "pad_h": rows.begin,
            "pad_w": columns.begin,
        }
        # Only where it matters: older Caffes do not know the field.
        if ROUNDINGS[0] not in fitting:
            parameters["round_mode"] = Word(fitting[0])
        caffe_divisors = [axis.caffe_divisors for axis in axes]
    elif all(axis.is_global for axis in axes):
        parameters = {"pool": Word(pool), "global_pooling": True}
        caffe_divisors = [[axis.size] for axis in axes]
    else:
        raise Inexpressible(f"padding {node.pads} with strides {node.pair('strides', 1)}")
    net.add(node, "Pooling", {"pooling_param": parameters}, shape)
    if pool == "AVE":
        count_padding = bool(node.get("count_include_pad", 0))
        ratios = [
            np.divide(caffe, axis.divisors(count_padding=count_padding))
            for axis, caffe in zip(axes, caffe_divisors, strict=True)
        ]
        correction = np.outer(*ratios).astype(np.float32)
        if np.any(correction != 1):
            net.then("divisor", "Scale", {"scale_param": {"axis": 2, "num_axes": 2}}, correction)


def _global_average_pool(net: Translation, node: Node) -> None:
    n, channels, *_ = net.shapes[node.inputs[0]]
    parameters = {"pooling_param": {"pool": Word("AVE"), "global_pooling": True}}
    net.add(node, "Pooling", parameters, (n, channels, 1, 1))


def _lrn(net: Translation, node: Node) -> None:
    parameters = {
        "local_size": node.get("size", 0),
        "alpha": node.get("alpha", 1e-4),
        "beta": node.get("beta", 0.75),
        "k": node.get("bias", 1.0),
    }
    # Caffe's LRN wants a centre, and refuses even sizes.
    if parameters["local_size"] % 2 == 0:
        raise Inexpressible("an even size")
    net.add(node, "LRN", {"lrn_param": parameters}, net.shapes[node.inputs[0]])


def _softmax(net: Translation, node: Node) -> None:
    shape = net.shapes[node.inputs[0]]
    # Up to opset 12 over all dimensions from the axis on, from 13 on along the axis alone.
    axis = node.get("axis", -1 if net.opset >= 13 else 1) % len(shape)
    if net.opset < 13 and math.prod(shape[axis + 1 :]) != 1:
        raise Inexpressible("a softmax over several dimensions")
    net.add(node, "Softmax", {"softmax_param": {"axis": axis}}, shape)


def _concat(net: Translation, node: Node) -> None:
    shapes = [net.shapes[tensor] for tensor in node.inputs]
    axis = node.get("axis", 1) % len(shapes[0])
    shape = list(shapes[0])
    shape[axis] = sum(other[axis] for other in shapes)
    bottoms = [net.blob(tensor) for tensor in node.inputs]
    net.add(node, "Concat", {"concat_param": {"axis": axis}}, tuple(shape), bottoms=bottoms)


def _sum(net: Translation, node: Node) -> None:
    # Caffe's Eltwise takes computed blobs alone; a constant is a layer's weight.
    if any(tensor in net.constants for tensor in node.inputs):
        _per_channel(net, node, "Bias", {"bias_param": {}})
        return
    shape, *others = [net.shapes[tensor] for tensor in node.inputs]
    if any(other != shape for other in others):
        raise Inexpressible("a sum of different shapes")
    bottoms = [net.blob(tensor) for tensor in node.inputs]
    net.add(node, "Eltwise", {"eltwise_param": {"operation": Word("SUM")}}, shape, bottoms=bottoms)


def _mul(net: Translation, node: Node) -> None:
    if not any(tensor in net.constants for tensor in node.inputs):
        raise Inexpressible("a product of two computed tensors")
    _per_channel(net, node, "Scale", {"scale_param": {"bias_term": False}})


def _per_channel(net: Translation, node: Node, kind: str, parameters: dict[str, dict[str, bool]]) -> None:
    """A constant for each channel."""
    # The constant last; both orders are the same sum or product.
    node.inputs.sort(key=net.constants.__contains__)
    computed, constant, *others = node.inputs
    if others or computed in net.constants:
        raise Inexpressible("other operands than a tensor and a constant")
    shape, values = net.shapes[computed], net.constants[constant]
    aligned = (1,) * (len(shape) - values.ndim) + values.shape
    if len(aligned) != len(shape) or values.size != aligned[1] or aligned[1] not in (1, shape[1]):
        raise Inexpressible("a constant that is not one for each channel")
    blob = np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (shape[1],)))
    net.add(node, kind, parameters, shape, blobs=(blob,), in_place=True)


def _reshaped(shape: Shape, wanted: list[int]) -> Shape:
    """What ``Reshape`` makes of a shape: 0 keeps a dimension, one -1 takes what is left."""
    sizes = [shape[index] if size == 0 else size for index, size in enumerate(wanted)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = math.prod(shape) // -math.prod(sizes)
    return tuple(sizes)


def _reshape(net: Translation, node: Node) -> None:
    wanted = [int(size) for size in net.constant(node, 1, "shape")]
    shape = net.shapes[node.inputs[0]]
    if wanted[0] == shape[0]:
        # So that the batch stays free.
        wanted[0] = 0
    net.add(node, "Reshape", {"reshape_param": {"shape": {"dim": wanted}}}, _reshaped(shape, wanted))


def _flatten(net: Translation, node: Node) -> None:
    if node.get("axis", 1) != 1:
        raise Inexpressible("another axis than 1")
    shape = net.shapes[node.inputs[0]]
    net.add(node, "Flatten", {"flatten_param": {"axis": 1}}, (shape[0], math.prod(shape[1:])))


def _transpose(net: Translation, node: Node) -> None:
    """Of axes 1 and 2: cut along axis 1 into slices of size 1, each of which becomes one of size 1 along axis 2."""
    shape = net.shapes[node.inputs[0]]
    order = list(node.get("perm", reversed(range(len(shape)))))
    if order != [0, 2, 1, *range(3, len(shape))] or len(shape) < 3:
        raise Inexpressible(
            f"the order {order}; Caffe has no transposition but one of axes 1 and 2 can be put together"
        )
    n, first, second, *others = shape
    slices = [f"{node.name}/slice{index}" for index in range(first)]
    turned = [f"{node.name}/turned{index}" for index in range(first)]
    bottom = net.blob(node.inputs[0])
    net.layers.append(Layer(f"{node.name}/slice", "Slice", [bottom], slices, {"slice_param": {"axis": 1}}))
    # 0 keeps the batch, whatever it is.
    dimensions = {"dim": [0, second, 1, *others]}
    for piece, turn in zip(slices, turned, strict=True):
        net.layers.append(Layer(turn, "Reshape", [piece], [turn], {"reshape_param": {"shape": dimensions}}))
    net.add(node, "Concat", {"concat_param": {"axis": 2}}, (n, second, first, *others), bottoms=turned)


_OPERATORS: dict[str, Callable[[Translation, Node], None]] = {
    "Add": _sum,
    "AveragePool": _pool,
    "BatchNormalization": _batch_normalization,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "LRN": _lrn,
    "MaxPool": _pool,
    "Mul": _mul,
    "Relu": _relu,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Sum": _sum,
    "Transpose": _transpose,
}
