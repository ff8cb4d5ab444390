"""Manifests that a run should have collected and did not: a run that evaluates nothing must not be green."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_mlscope.session.items.module import SUFFIX

_NEVER_ENTERED = frozenset({"node_modules", "venv", "build", "dist", "CVS", "__pycache__", "site-packages"})
"""Folders of other people's files, and hidden ones."""


def _places(config: pytest.Config) -> tuple[list[Path], str]:
    """Where to look, and what says so. ``testpaths`` does not count: it is the ini that may leave manifests out."""
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        return [config.invocation_params.dir], "the ini option testpaths leaves it out"
    folder = config.invocation_params.dir
    given = [folder / str(argument).partition("::")[0] for argument in config.args]
    return given, "an ini option such as norecursedirs or a conftest leaves it out"


def _manifests(places: list[Path], ignored: frozenset[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            if place.name.endswith(SUFFIX):
                yield place
            continue
        for folder, inner, names in os.walk(place):
            inner[:] = sorted(
                name
                for name in inner
                if not name.startswith(".")
                and name not in _NEVER_ENTERED
                and Path(folder, name).resolve() not in ignored
                and not Path(folder, name, "pyvenv.cfg").exists()
            )
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIX))


def uncollected_mistake(config: pytest.Config) -> str | None:
    """What is wrong where no item of any manifest was collected, though there are manifests to collect."""
    folder = config.invocation_params.dir
    ignored = frozenset((folder / path).resolve() for path in config.getoption("ignore") or ())
    globs = config.getoption("ignore_glob") or ()
    places, why = _places(config)
    for path in _manifests(places, ignored):
        if path.resolve() in ignored or any(path.match(glob) for glob in globs):
            continue
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        return (
            f"{shown}: no item was collected from this manifest, nor from any other ({why}); "
            "name it on the command line"
        )
    return None
