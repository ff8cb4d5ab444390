"""Every layer is in one window, in order, and windows keep to their bound."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.bisection.layers import Layer, TensorType
from pytest_mlscope.bisection.onnx_graph import Node
from pytest_mlscope.bisection.windows import halves, plan_windows

NODE = Node("node", "Relu", ("x",), ("y",))
limits = st.integers(1, 2000)


@st.composite
def networks(draw: st.DrawFn) -> list[Layer]:
    sizes = draw(st.lists(st.none() | st.integers(0, 1000), max_size=40))
    return [
        Layer(f"layer{place}", NODE, None if size is None else TensorType(2, (size,), 1))
        for place, size in enumerate(sizes)
    ]


@given(networks(), limits)
def test_every_layer_is_covered_once_and_in_order(layers: list[Layer], limit: int) -> None:
    windows = plan_windows(layers, limit=limit)
    assert [layer for window in windows for layer in window] == layers
    assert all(windows)


@given(networks(), limits)
def test_a_window_keeps_to_its_bound_or_is_one_layer(layers: list[Layer], limit: int) -> None:
    for window in plan_windows(layers, limit=limit):
        assert len(window) == 1 or sum(layer.size if layer.size is not None else limit + 1 for layer in window) <= limit


@given(networks(), limits)
def test_no_two_neighbours_would_fit_into_one(layers: list[Layer], limit: int) -> None:
    """Fewer windows mean fewer loads, so each is as full as its bound allows."""
    windows = plan_windows(layers, limit=limit)
    for one, other in pairwise(windows):
        sizes = [layer.size for layer in (*one, other[0])]
        assert None in sizes or sum(size or 0 for size in sizes) > limit


@given(networks().filter(lambda layers: len(layers) > 1))
def test_halves_are_both_there(layers: list[Layer]) -> None:
    one, other = halves(tuple(layers))
    assert (*one, *other) == tuple(layers)
    assert one
    assert other
