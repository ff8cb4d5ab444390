"""The mark by which a hand-written test asks for cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_mlscope.cases import Threads


def mlscope_cases(
    manifest: str | Path,
    *,
    framework: str | Sequence[str] | None = None,
    version: str | Sequence[str] | None = None,
    hardware: str | Sequence[str] | None = None,
    precision: str | Sequence[str] | None = None,
    threads: Threads | Sequence[Threads] | None = None,
    batch_size: int | Sequence[int] | None = None,
    scenario: str | Sequence[str] | None = None,
    preprocessing: str | Sequence[str] | None = None,
) -> pytest.MarkDecorator:
    """Parametrize a test over the cases of a manifest; the test takes the ``evaluation`` fixture.

    :param manifest: path of a ``*.mlscope.yml``, relative to the test's file.
    :param framework: … ``preprocessing``: only cases with this value, or one of these values.
    :raises TypeError: when it is used without a manifest.
    """
    # Used without brackets, a decorator gets the test function in place of the manifest.
    if not isinstance(manifest, str | Path):
        raise TypeError(
            f'mlscope_cases takes a manifest\'s path, not {manifest!r}; write @mlscope_cases("MODEL.mlscope.yml")'
        )
    selected: dict[str, Any] = {
        "framework": framework,
        "version": version,
        "hardware": hardware,
        "precision": precision,
        "threads": threads,
        "batch_size": batch_size,
        "scenario": scenario,
        "preprocessing": preprocessing,
    }
    chosen = {name: value for name, value in selected.items() if value is not None}
    return pytest.mark.mlscope_cases(str(manifest), **chosen)
