"""Peak resident memory, of the real process and where the kernel offers less."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import psutil
import pytest

from pytest_mlscope.host.memory import peak_bytes, reset_peak

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can reset the peak")


def _touch(mebibytes: int) -> None:
    np.ones(mebibytes * 2**20, dtype=np.uint8)


@linux
def test_the_peak_sees_memory_that_is_gone_again() -> None:
    if not reset_peak():
        pytest.skip("this kernel has no /proc/self/clear_refs")
    before = peak_bytes()
    _touch(64)
    after = peak_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 60 * 2**20


@linux
def test_a_reset_forgets_what_was_before() -> None:
    _touch(64)
    high = peak_bytes()
    if not reset_peak():
        pytest.skip("this kernel has no /proc/self/clear_refs")
    low = peak_bytes()
    assert low is not None
    assert high is not None
    assert high - low > 40 * 2**20
    assert low == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = builtins.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)


@pytest.mark.usefixtures("without_proc")
def test_without_proc_the_peak_is_that_of_the_whole_life() -> None:
    """getrusage(2) cannot be reset, and says so."""
    resource = pytest.importorskip("resource", reason="Windows has no getrusage")
    assert reset_peak() is False
    unit = 1 if sys.platform == "darwin" else 1024
    assert peak_bytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.usefixtures("without_proc")
def test_macos_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no getrusage")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_bytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.usefixtures("without_proc")
def test_an_absent_figure_is_none_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_bytes() is None
