"""The mark by which a hand-written test asks for cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest

if TYPE_CHECKING:
    from pytest_mlscope.cases import CaseChoice


def mlscope_cases(
    manifest: str | Path,
    **choice: Unpack[CaseChoice],
) -> pytest.MarkDecorator:
    """Parametrize a test over the cases of a manifest; the test takes the ``evaluation`` fixture.

    :param manifest: path of a ``*.mlscope.yml``, relative to the test's file.
    :param choice: only cases with these values of dimensions; a list allows each of its values. The dimensions are
        ``framework``, ``version``, ``hardware``, ``precision``, ``preprocessing``, ``threads``, ``batch_size`` and
        ``scenario``.
    :raises TypeError: when it is used without a manifest.
    """
    # Used without brackets, a decorator gets the test function in place of the manifest.
    if not isinstance(manifest, str | Path):
        raise TypeError(
            f'mlscope_cases takes a manifest\'s path, not {manifest!r}; write @mlscope_cases("MODEL.mlscope.yml")'
        )
    chosen = {name: value for name, value in choice.items() if value is not None}
    return pytest.mark.mlscope_cases(str(manifest), **chosen)
