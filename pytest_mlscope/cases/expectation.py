"""What must hold for one case."""

from __future__ import annotations

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest import Expectation, Manifest, ParityExpectation, criteria, overridden, selects


def expectation_for(content: Manifest, case: Case) -> Expectation:
    """The manifest's ``expect`` with every matching override applied; the last one wins, key by key."""
    expectation = content.expect
    if content.expect_overrides:
        for override in content.expect_overrides:
            if selects(criteria(override.when), case.cell):
                expectation = overridden(expectation, override)
    return expectation


QUANTISED_AGREEMENT = {"top1_agreement": 0.99, "cosine": 0.95}
"""What a case at int8 must agree in where the manifest states neither a tolerance nor an agreement: the elements of
sound quantised files differ by a third of the largest."""


def parity_expected(content: Manifest, case: Case) -> ParityExpectation | None:
    """What parity must hold for one case: as stated, or at int8 the agreement that is the default there."""
    stated = expectation_for(content, case).parity
    if stated is None or case.precision != "int8" or stated.bounds_elements or stated.bounds_agreement:
        return stated
    return stated.model_copy(update=QUANTISED_AGREEMENT)
