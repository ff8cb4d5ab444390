"""Which kinds of test a manifest has what it takes for."""

from __future__ import annotations

from pytest_mlscope.manifest.dimensions import devices_in_use
from pytest_mlscope.manifest.schema import KINDS, Kind, Manifest


def parity_reference(content: Manifest) -> tuple[str, str | None, str, str] | None:
    """What others are compared with: framework, version, hardware and precision; ``None`` without ``expect.parity``.

    Of several versions of the reference framework the first is the reference; the others are compared with it too.
    """
    parity = content.expect.parity
    if parity is None:
        return None
    entry = content.frameworks.get(parity.reference)
    return (parity.reference, entry.versions[0] if entry is not None else None, "cpu", parity.precision)


def lacking(content: Manifest, kind: Kind, *, baseline: bool = False) -> str | None:
    """What a manifest lacks for a kind of test, in words; ``None`` when nothing.

    :param baseline: whether outputs are compared with a baseline's too, which the parity reference's own can be.
    """
    if kind == "accuracy":
        if content.dataset is None:
            return "a dataset"
        return None if content.metrics else "metrics"
    if kind == "parity":
        reference = parity_reference(content)
        if reference is None:
            return "expect.parity"
        if not baseline and all(combination == reference for combination in devices_in_use(content)):
            return "a case besides the parity reference itself"
    return None


def kinds_made(content: Manifest, *, baseline: bool = False) -> tuple[Kind, ...]:
    """The kinds that are tested: those asked for or, by default, those nothing is lacking for.

    :param baseline: as of :func:`lacking`.
    """
    if content.kinds is not None:
        return tuple(kind for kind in KINDS if kind in content.kinds)
    return tuple(kind for kind in KINDS if lacking(content, kind, baseline=baseline) is None)
