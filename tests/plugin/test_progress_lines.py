"""Lines of progress stand on lines of their own, and leave pytest's whole."""

from __future__ import annotations

import re

import pytest

CONFTEST = """\
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if item.name in ("test_b", "test_d"):
        progress = item.config.pluginmanager.get_plugin("mlscope-progress").progress
        progress("waiting for another")
        progress("still waiting")
"""
TESTS = """\
def test_a(): pass
def test_b(): pass
def test_c(): pass
def test_d(): assert 0
def test_e(): pass
"""
TOLD = ["mlscope: waiting for another", "mlscope: still waiting"]


@pytest.fixture
def lines(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_x=TESTS, test_y="def test_z(): pass\n")
    return pytester


def _between(pytester: pytest.Pytester, *options: str) -> list[str]:
    """What stands between the header and the summary, without the share done."""
    result = pytester.runpytest_subprocess("--mlscope", "--tb=no", "-rN", *options)
    lines = [re.sub(r" +\[ *\d+%\]", "", line).rstrip() for line in result.outlines]
    start = next((index for index, line in enumerate(lines) if line.endswith(("collected 6 items", "[6 items]"))), -1)
    end = next(index for index, line in enumerate(lines) if "1 failed, 5 passed" in line)
    return [line for line in lines[start + 1 : end] if line]


@pytest.mark.slow
def test_dots_go_on_after_their_files_name(lines: pytest.Pytester) -> None:
    first, second, third = "test_x.py .", "test_x.py ..", "test_x.py F."
    assert _between(lines) == [first, *TOLD, second, *TOLD, third, "test_y.py ."]


@pytest.mark.slow
def test_dots_without_names_go_on(lines: pytest.Pytester) -> None:
    assert _between(lines, "-q") == [".", *TOLD, "..", *TOLD, "F.."]


@pytest.mark.slow
def test_an_outcome_stands_beside_its_test(lines: pytest.Pytester) -> None:
    assert _between(lines, "-v") == [
        "test_x.py::test_a PASSED",
        "test_x.py::test_b",
        *TOLD,
        "test_x.py::test_b PASSED",
        "test_x.py::test_c PASSED",
        "test_x.py::test_d",
        *TOLD,
        "test_x.py::test_d FAILED",
        "test_x.py::test_e PASSED",
        "test_y.py::test_z PASSED",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-v",)], ids=["dots", "names"])
def test_what_workers_tell_is_shown_whole(lines: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytest.importorskip("xdist")
    shown = _between(lines, "-n", "2", *options)
    assert sorted(line for line in shown if "waiting" in line) == sorted(TOLD * 2)
    others = [line for line in shown if "waiting" not in line]
    if options:
        assert sum(bool(re.fullmatch(r"\[gw\d\] (PASSED|FAILED) test_\w.py::test_\w", line)) for line in others) == 6
    else:
        assert sorted("".join(others)) == sorted(".....F")
