"""The manifest with which a framework's predictor is tried."""

from __future__ import annotations

from pathlib import Path

from pytest_mlscope.assets import search_path
from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.errors import FrameworkError


def self_test_manifest(folder: FrameworkFolder, project: Path | None) -> Path | None:
    """The file that ``self_test`` of ``framework.yml`` names; ``None`` where it names none.

    :param project: the user's project root, whose model suites come first.
    :raises FrameworkError: when ``framework.yml`` is wrong, or there is no such file.
    """
    stated = folder.description.self_test
    if stated is None:
        return None
    # The folder's own files first, so that a framework can bring its self-test along.
    roots = [folder.path, *search_path("model_suites", project=project)]
    for root in roots:
        if (root / stated).is_file():
            return root / stated
    looked = ", ".join(map(str, roots))
    raise FrameworkError(f"{folder.source}: self_test names {stated!r}, which is in none of: {looked}")
