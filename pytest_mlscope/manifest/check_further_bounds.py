"""Checks of what is expected of kinds of measurement that plugins added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mlscope.documents import Path, field_names, found
from pytest_mlscope.manifest.check_components import make_component
from pytest_mlscope.manifest.findings import Findings
from pytest_mlscope.manifest.further_bounds import merged


def overridden_further(findings: Findings, index: int) -> Mapping[str, Any]:
    """What an override states of plugins' kinds. ``index`` is that of the content, which lacks what is malformed."""
    number = findings.place(("expect_overrides", index))[-1]
    return findings.further_bounds.overrides.get(number, {}) if isinstance(number, int) else {}


def check_further_bounds(findings: Findings) -> None:
    """Say what is wrong with them. An override is read together with ``expect``, of which it may change one key."""
    expect = findings.further_bounds.expect
    right = {name for name, stated in expect.items() if _is_right(findings, ("expect", name), stated)}
    for index in range(len(findings.content.expect_overrides)):
        for name, stated in overridden_further(findings, index).items():
            # An empty value takes the bound away.
            if stated is not None and (name in right or name not in expect):
                _is_right(findings, ("expect_overrides", index, name), stated, base=expect.get(name))


def _is_right(findings: Findings, path: Path, stated: Any, *, base: Mapping[str, Any] | None = None) -> bool:
    name = str(path[-1])
    kind = findings.registry.measurements[name].bounds
    if kind is None:
        findings.at_key(path, f"{name!r} takes no bounds; take it out of {path[0]}, and name it under kinds")
    elif not isinstance(stated, dict):
        findings.about(path, f"is {found(stated)}; allowed: a mapping of {', '.join(field_names(kind))}")
    else:
        return make_component(findings, path, kind, merged(base, stated) or {}) is not None
    return False
