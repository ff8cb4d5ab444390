"""Finds a file inside an installed distribution, without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pytest_mlscope.errors import ArtifactError, CannotRun

SCHEME = "package://"


def _import_package_folders(name: str) -> Iterator[Path]:
    """Folders of a top-level package; finding a top-level package imports nothing."""
    if not name.isidentifier():
        return
    try:
        spec = importlib.util.find_spec(name)
    # ValueError, too: a module that is loaded may say that it has no spec.
    except (ImportError, ValueError):
        return
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location)


def _places(distribution: importlib.metadata.Distribution, name: str, inside: PurePosixPath) -> Iterator[Path]:
    yield Path(str(distribution.locate_file(inside)))
    # An editable installation keeps its files elsewhere.
    for folder in _import_package_folders(inside.parts[0]):
        yield folder.joinpath(*inside.parts[1:])
    for folder in _import_package_folders(name.replace("-", "_")):
        yield folder / inside


def package_file(url: str) -> Path:
    """The path of ``package://DISTRIBUTION/PATH``.

    PATH is as the distribution installs it, so it begins with the import package's name; that name may be left out
    where it is the distribution's own.

    :raises CannotRun: when the distribution is not installed.
    :raises ArtifactError: when the URL is malformed, leaves the distribution, or names no file of it.
    """
    name, _, rest = url.removeprefix(SCHEME).partition("/")
    inside = PurePosixPath(rest)
    if not name or not inside.parts:
        raise ArtifactError(f"{url}: names no file; write package://DISTRIBUTION/path/in/it")
    # A manifest may come from anyone, and must not read files beyond what it names.
    if ".." in inside.parts or inside.is_absolute():
        raise ArtifactError(f"{url}: leaves the distribution; a path in a package has no '..' and no leading '/'")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise CannotRun(f"{url} needs the distribution {name}", command=f"pip install {name}") from None
    for place in _places(distribution, name, inside):
        if place.exists():
            return place
    raise ArtifactError(
        f"{url}: {name} {distribution.version} has no such file; check the path, or the version that the manifest means"
    )
