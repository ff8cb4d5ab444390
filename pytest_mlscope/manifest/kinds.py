"""Which kinds of test a manifest has what it takes for."""

from __future__ import annotations

from collections.abc import Collection

from pytest_mlscope.components import Registry, asked
from pytest_mlscope.manifest.schema.manifest import Manifest


def parity_reference(content: Manifest) -> tuple[str, str | None, str, str] | None:
    """What others are compared with: framework, version, hardware and precision; ``None`` without ``expect.parity``.

    Of several versions of the reference framework the first is the reference; the others are compared with it too.
    """
    parity = content.expect.parity
    if parity is None:
        return None
    entry = content.frameworks.get(parity.reference)
    return (parity.reference, entry.versions[0] if entry is not None else None, "cpu", parity.precision)


def kinds_made(
    content: Manifest, registry: Registry, bounds: Collection[str], *, baseline: bool = False
) -> tuple[str, ...]:
    """The kinds of measurement that are tested: those asked for or, by default, those nothing is lacking for.

    :param bounds: kinds of plugins of which the manifest expects something.
    :param baseline: whether outputs are compared with a baseline's too, which the parity reference's own can be.
    """
    tested = {name: each for name, each in registry.measurements.items() if each.has_tests}
    if content.kinds is not None:
        return tuple(name for name in tested if name in content.kinds)
    return tuple(
        name
        for name, each in tested.items()
        if (each.by_default or name in bounds) and asked(each, "lacking", content, baseline=baseline) is None
    )
