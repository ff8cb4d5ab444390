"""Which kinds of test a manifest has what it takes for."""

from __future__ import annotations

from pytest_mlscope.manifest.dimensions import devices_in_use
from pytest_mlscope.manifest.schema import KINDS, Kind, Manifest


def lacking(content: Manifest, kind: Kind) -> str | None:
    """What a manifest lacks for a kind of test, in words; ``None`` when nothing."""
    if kind == "accuracy":
        if content.dataset is None:
            return "a dataset"
        return None if content.metrics else "metrics"
    if kind == "parity":
        parity = content.expect.parity
        if parity is None:
            return "expect.parity"
        reference = (parity.reference, "cpu", "fp32")
        if all(combination == reference for combination in devices_in_use(content)):
            return "a case besides the parity reference itself"
    return None


def kinds_made(content: Manifest) -> tuple[Kind, ...]:
    """The kinds that are tested: those asked for or, by default, those nothing is lacking for."""
    asked = content.kinds
    return tuple(kind for kind in KINDS if (kind in asked if asked is not None else lacking(content, kind) is None))
