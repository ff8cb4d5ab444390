"""Where in a manifest something stands that turned out wrong only when it was used."""

from __future__ import annotations

import hashlib

from pytest_mlscope.documents import Path, read_bytes, read_source
from pytest_mlscope.errors import MlscopeError, shown
from pytest_mlscope.manifest.loaded import LoadedManifest


def place_of(manifest: LoadedManifest, path: Path) -> str:
    """``file:line:column`` of a path in the manifest, of the nearest mapping around it where it is not there.

    The manifest's path alone, where the file is no longer the one that was loaded.
    """
    try:
        raw = read_bytes(manifest.path)
    except MlscopeError:
        return shown(str(manifest.path))
    if hashlib.sha256(raw).hexdigest() != manifest.sha256:
        return shown(str(manifest.path))
    position = read_source(raw).position(path)
    return f"{shown(str(manifest.path))}:{position.line}:{position.column}"
