"""The shipped profilers."""

from __future__ import annotations

from pytest_mlscope.components.profilers.base import Profiler

SHIPPED_PROFILERS: tuple[type[Profiler], ...] = ()
