"""What all tests share: pytest's fixture for running pytest, and an option for runs in which nothing may be missing."""

from __future__ import annotations

from collections.abc import Generator

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="Fail tests that would be skipped, unless for what 'this machine' is."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("no_skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not reason.removeprefix("Skipped: ").startswith("this machine"):
            report.outcome, report.longrepr = "failed", f"{reason} (and --no-skips was given)"
    return report
