"""What a dataset was: a digest by which two evaluations know that they saw the same rows."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_mlscope.artifacts import file_artifact
from pytest_mlscope.components import Dataset
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import LoadedManifest


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """Of one dataset, in one state."""

    sha256: str | None
    """Of the file's bytes where it is one file; of the digests and names of several; of parameters and code where there
    is no file. ``None`` where neither can be read."""
    files: int
    """How many files it covers."""
    covers: Literal["files", "parameters and code", "parameters", "nothing"]
    why_not: str | None = None
    """Why there is no digest."""


def data_identity(manifest: LoadedManifest) -> DataIdentity | None:
    """Digest of the manifest's dataset; ``None`` where it has none. A file is read once while it stays what it is."""
    dataset = manifest.dataset
    if dataset is None:
        return None
    try:
        files = list(dict.fromkeys(dataset.files(manifest.folder)))
        digests = [file_artifact(path).sha256 for path in files]
    except MlscopeError as error:
        return DataIdentity(sha256=None, files=0, covers="nothing", why_not=str(error))
    except Exception as error:  # code from elsewhere may raise anything
        why = f"{dataset.name}: files raised {type(error).__name__}: {error}"
        return DataIdentity(sha256=None, files=0, covers="nothing", why_not=why)
    if not files:
        return _without_files(dataset)
    return DataIdentity(sha256=_together(files, digests), files=len(files), covers="files")


def _together(files: Sequence[Path], digests: Sequence[str]) -> str:
    if len(files) == 1:
        return digests[0]
    # Names count only within their common folder: another checkout has the same files elsewhere.
    common = Path(os.path.commonpath([path.absolute().parent for path in files]))
    lines = [
        f"{digest}  {path.absolute().relative_to(common).as_posix()}\n"
        for path, digest in zip(files, digests, strict=True)
    ]
    # File names are bytes, which need not be valid UTF-8.
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _without_files(dataset: Dataset) -> DataIdentity:
    code = None
    # The plugin's own change with its version, which the key has.
    if not type(dataset).__module__.startswith("pytest_mlscope."):
        try:
            code = inspect.getsource(type(dataset))
        except (OSError, TypeError):
            code = None
    facts = [dataset.name, dataset.model_dump(), code]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return DataIdentity(sha256=digest, files=0, covers="parameters" if code is None else "parameters and code")


def data_differ(there: str | None, here: str | None) -> str | None:
    """Why two accuracies do not compare, in words; ``None`` where their data are the same, or not known."""
    if there is None or here is None or there == here:
        return None
    return f"the datasets differ (sha256 {there[:12]}… there, {here[:12]}… here), so accuracies do not compare"
