"""What all tests share: pytest's fixture for running pytest, leases of their own, and an option that misses nothing."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# On a shared machine any example may take longer than Hypothesis' 200 ms, the one that imports scipy above all; nothing
# here is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="Fail tests that would be skipped, unless for what 'this machine' is."
    )


@pytest.fixture(scope="session", autouse=True)
def _own_leases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test's result depends on its timings, so none need wait until other work on the machine has been measured."""
    with pytest.MonkeyPatch.context() as patch:
        if "MLSCOPE_LEASES" not in os.environ:
            patch.setenv("MLSCOPE_LEASES", str(tmp_path_factory.mktemp("leases")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("no_skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not reason.removeprefix("Skipped: ").startswith("this machine"):
            report.outcome, report.longrepr = "failed", f"{reason} (and --no-skips was given)"
    return report
