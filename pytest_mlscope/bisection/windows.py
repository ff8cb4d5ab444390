"""Which layers' outputs are held at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mlscope.bisection.layers import Layer

Window = tuple[Layer, ...]


def plan_windows(layers: Sequence[Layer], *, limit: int) -> list[Window]:
    """Consecutive windows of at most ``limit`` bytes a batch; a layer that is larger, or whose size is not known,
    has one of its own.

    >>> from pytest_mlscope.bisection.layers import TensorType
    >>> from pytest_mlscope.bisection.onnx_graph import Node
    >>> node = Node("", "Relu", ("x",), ("y",))
    >>> layers = [Layer(name, node, TensorType(1, (size,), 4)) for name, size in (("a", 3), ("b", 5), ("c", 8))]
    >>> [[layer.output for layer in window] for window in plan_windows(layers, limit=32)]
    [['a', 'b'], ['c']]

    :param limit: bytes, at least 1.
    """
    windows: list[Window] = []
    open_window: list[Layer] = []
    room = limit
    for layer in layers:
        if open_window and (layer.size is None or layer.size > room):
            windows.append(tuple(open_window))
            open_window, room = [], limit
        # A tensor of unknown size may be larger than the limit by itself, so nothing is held beside it.
        if layer.size is None:
            windows.append((layer,))
        else:
            open_window.append(layer)
            room -= layer.size
    if open_window:
        windows.append(tuple(open_window))
    return windows


def halves(window: Window) -> tuple[Window, Window]:
    """Of a window of at least two layers."""
    middle = len(window) // 2
    return window[:middle], window[middle:]
