"""How far outputs are from a reference's, in words."""

from __future__ import annotations

from pytest_mlscope import quantities as readable
from pytest_mlscope.measurements import Parity


def tolerance_text(parity: Parity) -> str:
    """What was allowed: of several outputs, the one that is farthest from its reference."""
    if parity.tolerance_source == "exact":
        return "equal elements"
    if parity.abs_tolerance is None or parity.rel_tolerance is None:
        return "an agreement"
    return f"|a-b| ≤ {parity.abs_tolerance:.3g} + {parity.rel_tolerance:.3g}·|b|"


def difference_text(parity: Parity) -> str:
    """What follows "outputs differ from …"."""
    whose = "" if parity.tolerance_source in ("manifest", "exact", "agreement") else f", {parity.tolerance_source}"
    expected = f"expected {tolerance_text(parity)}{whose}"
    if parity.max_abs is None:
        size = f"({expected})"
    else:
        relative = "" if parity.max_rel is None else f"relative {parity.max_rel:.3g}; "
        size = f"by up to {parity.max_abs:.3g} ({relative}{expected})"
    agreement = "" if parity.top1_agreement is None else f", top-1 agreement {readable.score(parity.top1_agreement)}"
    return (
        f"{size}: {parity.violations:,} of {parity.elements:,} elements over {parity.n:,} rows{agreement}"
        f"{_where(parity)}{_not_numbers(parity)}{from_itself(parity)}"
    )


def from_itself(parity: Parity) -> str:
    """Whether the model differs from itself; empty where it does not."""
    if parity.self_difference is None:
        return ""
    return (
        f"; the model differs from itself by up to {parity.self_difference:.3g} when it predicts the same rows twice, "
        "so it cannot agree with a reference"
    )


def _where(parity: Parity) -> str:
    if len(parity.outputs) < 2:
        return ""
    wrong = [output for output in parity.outputs if output.violations]
    return "".join(f"; output {each.name!r}: {each.violations:,} of {each.elements:,}" for each in wrong)


def _not_numbers(parity: Parity) -> str:
    if not (parity.nan or parity.reference_nan or parity.both_nan):
        return ""
    text = (
        f"; NaN: {parity.both_nan:,} elements in both, {parity.nan:,} here alone, {parity.reference_nan:,} in the "
        "reference alone"
    )
    if parity.both_nan and parity.violations:
        text += "; if NaN in both is right, write expect.parity.equal_nan: true"
    return text
