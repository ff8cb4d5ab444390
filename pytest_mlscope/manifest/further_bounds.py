"""What a manifest expects of kinds of measurement that plugins added: their own ``Bounds`` say what may stand there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mlscope.components import Registry
from pytest_mlscope.manifest.schema.expectations import Expectation


@dataclass(frozen=True)
class FurtherBounds:
    """Kind of measurement to what stands under its name. Checked, but kept as it is stated: overrides change keys."""

    expect: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Of ``expect_overrides``, by index."""

    @property
    def kinds(self) -> frozenset[str]:
        """Those of which something is expected, be it of some cases alone."""
        every = (self.expect, *self.overrides.values())
        return frozenset(name for stated in every for name, value in stated.items() if value is not None)

    def of(self, kind: str, overrides: Iterable[int]) -> Mapping[str, Any] | None:
        """What is expected of a kind, with these overrides applied in order; ``None`` where nothing is."""
        every = (self.overrides.get(index, {}) for index in overrides)
        return merged(self.expect.get(kind), *(stated[kind] for stated in every if kind in stated))


def merged(*stated: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Key by key, the last one wins; ``None`` takes away what stands before it."""
    result: Mapping[str, Any] | None = None
    for each in stated:
        result = None if each is None else {**(result or {}), **each}
    return result


def _split(stated: Any, own: set[str]) -> tuple[Any, dict[str, Any]]:
    """A section without the keys of plugins' kinds, and those."""
    if not isinstance(stated, dict) or own.isdisjoint(stated):
        return stated, {}
    rest = {name: value for name, value in stated.items() if name not in own}
    return rest, {name: value for name, value in stated.items() if name in own}


def without_further_bounds(data: dict[str, Any], registry: Registry) -> tuple[dict[str, Any], FurtherBounds]:
    """A manifest as the schema knows it, and what it holds of kinds of measurement that plugins added."""
    own = {name for name in registry.measurements if name not in Expectation.model_fields}
    expect, further = _split(data.get("expect"), own)
    entries = data.get("expect_overrides")
    split = [_split(entry, own) for entry in entries] if isinstance(entries, list) else []
    overrides = {index: stated for index, (_, stated) in enumerate(split) if stated}
    changed = {**({"expect": expect} if further else {})}
    if overrides:
        changed["expect_overrides"] = [rest for rest, _ in split]
    return {**data, **changed}, FurtherBounds(further, overrides)
