"""Errors of an evaluation name the manifest they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_mlscope.errors import ArtifactError, DatasetError, PreprocessingError, shown
from pytest_mlscope.manifest import LoadedManifest, place_of


@contextmanager
def naming(manifest: LoadedManifest) -> Iterator[None]:
    """Begin the message of what is raised inside with the manifest's path, unless it has it already.

    A dataset's error names the line too. Datasets, steps and metrics do not know for which manifest they work.
    """
    try:
        yield
    except (ArtifactError, DatasetError, PreprocessingError) as error:
        message = str(error)
        # A message has the path as it may be shown.
        if shown(str(manifest.path)) not in message:
            place = place_of(manifest, ("dataset", "path")) if isinstance(error, DatasetError) else manifest.path
            error.say_where(place)
        raise
