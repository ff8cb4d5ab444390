"""Manifests that a run should have collected and did not: a run that evaluates nothing must not be green."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pytest_mlscope.session.items.module import SUFFIX

_NEVER_ENTERED = frozenset({"node_modules", "venv", "build", "dist", "CVS", "__pycache__", "site-packages"})
"""Folders of other people's files, and hidden ones."""


def _places(config: pytest.Config) -> list[Path]:
    """Where to look. ``testpaths`` does not count: it is an ini option that may leave manifests out."""
    folder = config.invocation_params.dir
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        return [folder]
    # An argument may be a node id, such as FILE::test_latency.
    return [folder / str(argument).partition("::")[0] for argument in config.args]


def _manifests(places: list[Path], ignored: frozenset[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            if place.name.endswith(SUFFIX):
                yield place
            continue
        for folder, inner, names in os.walk(place):
            # In place: os.walk enters only what is left in this list.
            inner[:] = sorted(
                name
                for name in inner
                if not name.startswith(".")
                and name not in _NEVER_ENTERED
                and Path(folder, name).resolve() not in ignored
                # The mark of a virtual environment, whatever its folder is called.
                and not Path(folder, name, "pyvenv.cfg").exists()
            )
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIX))


@dataclass(frozen=True)
class Uncollected:
    """Manifests that lie where the run looked, and were not collected."""

    mistake: str | None
    """Why the run must not go on."""
    warnings: tuple[str, ...]
    """What it goes on without."""


def uncollected(config: pytest.Config, *, collected: Set[Path], has_items: bool) -> Uncollected:
    """Look for manifests that nothing was made of.

    An ini option that hides one from a folder that is collected is a mistake, and so is a run without an item of any
    manifest. A conftest, which is code, and ``testpaths``, which says where tests are, may leave some out, with a
    warning.

    :param collected: resolved paths of the manifests that were collected.
    :param has_items: whether an item of one was.
    """
    folder = config.invocation_params.dir
    ignored = frozenset((folder / path).resolve() for path in config.getoption("ignore") or ())
    globs = config.getoption("ignore_glob") or ()
    by_testpaths = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    warnings = []
    for place in _places(config):
        for path in _manifests([place], ignored):
            resolved = path.resolve()
            if resolved in ignored or any(path.match(glob) for glob in globs):
                continue
            shown = path.relative_to(folder) if path.is_relative_to(folder) else path
            hiding = _hiding_pattern(config, path, place)
            if by_testpaths and not _is_within(path, config):
                why = "the ini option testpaths leaves it out"
            elif hiding is not None:
                why = f"{hiding!r} of the ini option norecursedirs leaves it out"
            else:
                why = "a conftest or another ini option leaves it out"
            if not has_items:
                text = f"{shown}: no item was collected from this manifest, nor from any other ({why})"
                return Uncollected(f"{text}; name it on the command line", ())
            if resolved in collected:
                continue
            text = f"{shown}: this manifest was not collected ({why})"
            if hiding is not None and not by_testpaths:
                return Uncollected(f"{text}; name it on the command line, or leave it out by --ignore", ())
            warnings.append(text)
    return Uncollected(None, tuple(dict.fromkeys(warnings)))


def _hiding_pattern(config: pytest.Config, path: Path, place: Path) -> str | None:
    """The pattern of ``norecursedirs`` that keeps pytest out of a folder between ``place`` and a manifest."""
    if path == place:
        return None
    between = [folder for folder in path.parents if folder.is_relative_to(place) and folder != place]
    patterns: list[str] = config.getini("norecursedirs")
    for folder in between:
        for pattern in patterns:
            if folder.match(pattern) if "/" in pattern else fnmatch(folder.name, pattern):
                return pattern
    return None


def _is_within(path: Path, config: pytest.Config) -> bool:
    places = [config.invocation_params.dir / str(argument).partition("::")[0] for argument in config.args]
    return any(path.is_relative_to(place) for place in places)
