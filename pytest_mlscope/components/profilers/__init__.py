"""The shipped profilers."""

from __future__ import annotations

from pytest_mlscope.components.profilers.base import Profiler
from pytest_mlscope.components.profilers.nvml_profiler import NvmlProfiler
from pytest_mlscope.components.profilers.psutil_profiler import PsutilProfiler

SHIPPED_PROFILERS: tuple[type[Profiler], ...] = (PsutilProfiler, NvmlProfiler)
