"""What must hold for one case."""

from __future__ import annotations

import json

from pydantic import ValidationError

from pytest_mlscope.cases.case import Case
from pytest_mlscope.components import Bounds
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import (
    Expectation,
    LoadedManifest,
    Manifest,
    ParityExpectation,
    criteria,
    overridden,
    selects,
)


def expectation_for(content: Manifest, case: Case) -> Expectation:
    """The manifest's ``expect`` with every matching override applied; the last one wins, key by key."""
    expectation = content.expect
    if content.expect_overrides:
        for override in content.expect_overrides:
            if selects(criteria(override.when), case.cell):
                expectation = overridden(expectation, override)
    return expectation


def bounds_for(manifest: LoadedManifest, case: Case, kind: str) -> Bounds | None:
    """What must hold for one case of a kind of measurement that a plugin added; ``None`` where nothing must.

    :raises MlscopeError: when overrides that are each right contradict each other.
    """
    bounds = manifest.registry.measurements[kind].bounds
    overrides = enumerate(manifest.content.expect_overrides)
    matching = [index for index, override in overrides if selects(criteria(override.when), case.cell)]
    stated = manifest.further_bounds.of(kind, matching)
    if bounds is None or stated is None:
        return None
    try:
        # Strict, but as JSON: YAML, too, has neither tuples nor enumerations.
        return bounds.model_validate_json(json.dumps(stated))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        numbers = ", ".join(str(index + 1) for index in matching)
        raise MlscopeError(
            f"{manifest.path}: expect.{kind} of {case.id}, with expect_overrides {numbers} applied, is wrong: {first}"
        ) from None


QUANTISED_AGREEMENT = {"top1_agreement": 0.99, "cosine": 0.95}
"""What a case at int8 must agree in where the manifest states neither a tolerance nor an agreement: the elements of
sound quantised files differ by a third of the largest."""


def parity_expected(content: Manifest, case: Case) -> ParityExpectation | None:
    """What parity must hold for one case: as stated, or at int8 the agreement that is the default there."""
    stated = expectation_for(content, case).parity
    # Only where the manifest leaves it open: what it states, and be it loose, is its author's decision.
    if stated is None or case.precision != "int8" or stated.bounds_elements or stated.bounds_agreement:
        return stated
    return stated.model_copy(update=QUANTISED_AGREEMENT)
