"""What Caffe makes of a pooling along one axis, beside what ONNX says.

Caffe's ``PoolingLayer`` rounds the number of windows up unless told otherwise. Where either axis is padded, it drops on
both a last window that would start beyond the image. It divides an average by the window's size with its padding, cut
at the end of the padding alone. ONNX's ``MaxPool`` and ``AveragePool`` state padding at both ends, round down unless
told otherwise, drop such a window whenever they round up, and by default do not count padding.

Sources: ``src/caffe/layers/pooling_layer.cpp``, ``Reshape``; https://onnx.ai/onnx/operators/onnx__MaxPool.html.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Rounding = Literal["CEIL", "FLOOR"]
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
"""Caffe's own first."""


class Axis(NamedTuple):
    """One axis of a pooling, as ONNX states it."""

    size: int
    """Of the input."""
    kernel: int
    stride: int
    begin: int
    """Padding before."""
    end: int
    """Padding after."""
    ceil: bool = False

    @property
    def windows(self) -> int:
        """How many windows ONNX says there are."""
        windows = _windows(self.size + self.begin + self.end, self.kernel, self.stride, ceil=self.ceil)
        return windows - (self.ceil and self._is_beyond(windows - 1))

    def caffe_windows(self, rounding: Rounding, *, padded: bool) -> int:
        """How many Caffe makes, with ``begin`` as its padding at both ends.

        :param padded: whether Caffe pads this axis or the other one.
        """
        windows = _windows(self.size + 2 * self.begin, self.kernel, self.stride, ceil=rounding == "CEIL")
        return windows - (padded and self._is_beyond(windows - 1))

    def _is_beyond(self, window: int) -> bool:
        """Whether a window starts in the padding at the end, or after it."""
        return window * self.stride >= self.size + self.begin

    def divisors(self, *, count_padding: bool) -> list[int]:
        """By what ONNX divides each window's sum along this axis."""
        end = self.size + self.end if count_padding else self.size
        first = -self.begin if count_padding else 0
        return [min(start + self.kernel, end) - max(start, first) for start in self._starts]

    @property
    def caffe_divisors(self) -> list[int]:
        """By what Caffe divides each window's sum along this axis."""
        return [min(start + self.kernel, self.size + self.begin) - start for start in self._starts]

    @property
    def is_global(self) -> bool:
        """Whether one window covers the whole axis."""
        return self.windows == 1 and self.kernel - self.begin >= self.size

    @property
    def _starts(self) -> list[int]:
        return [index * self.stride - self.begin for index in range(self.windows)]


def _windows(size: int, kernel: int, stride: int, *, ceil: bool) -> int:
    steps = size - kernel
    return (-(-steps // stride) if ceil else steps // stride) + 1
