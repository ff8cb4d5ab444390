"""What must hold for one case."""

from __future__ import annotations

from typing import Any

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest.dimensions import NAMES, criteria, selects
from pytest_mlscope.manifest.overrides import overridden
from pytest_mlscope.manifest.schema import Expectation


def expectation_for(case: Case) -> Expectation:
    """The manifest's ``expect`` with every matching override applied; the last one wins, key by key."""
    content = case.manifest.content
    expectation = content.expect
    if content.expect_overrides:
        cell: tuple[Any, ...] = tuple(getattr(case, name) for name in NAMES)
        for override in content.expect_overrides:
            if selects(criteria(override.when), cell):
                expectation = overridden(expectation, override)
    return expectation
