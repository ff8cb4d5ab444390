"""Files that a manifest names and that are not there: known before anything runs."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_mlscope.documents import Path as DocumentPath
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.place import place_of
from pytest_mlscope.manifest.schema.frameworks import FrameworkEntry, ModelFile


def files_of(framework: str, entry: FrameworkEntry) -> Iterator[tuple[DocumentPath, str | None, ModelFile]]:
    """Each file of a framework's entry: its place in the document, the precision that it is for alone, the file."""
    for role, file in entry.files.items():
        yield ("frameworks", framework, "files", role), None, file
    for precision, files in entry.precision_files.items():
        for role, file in files.items():
            yield ("frameworks", framework, "precision_files", precision, role), precision, file


def local_path(manifest: LoadedManifest, file: ModelFile) -> Path | None:
    """Where a file is that needs no download and no installed package; ``None`` for any other."""
    if file.path.startswith("file://"):
        # A URL writes a space as %20.
        return Path(urllib.parse.unquote(urllib.parse.urlsplit(file.path).path))
    return None if "://" in file.path else manifest.folder / file.path


def missing_files(manifest: LoadedManifest, cases: Collection[tuple[str, str]]) -> list[str]:
    """One line, with its place, for each local file that the dataset or a case needs and that does not exist.

    :param cases: framework and precision of each case that is to run.
    """
    lines = []
    frameworks = {framework for framework, _ in cases}
    for framework, entry in manifest.content.frameworks.items():
        for where, precision, file in files_of(framework, entry):
            needed = framework in frameworks if precision is None else (framework, precision) in cases
            path = local_path(manifest, file)
            if needed and path is not None and not _exists(path):
                lines.append(f"{place_of(manifest, (*where, 'path'))}: {path}: no such file; check the manifest's path")
    if manifest.dataset is not None and cases:
        needed_files = [path for path in manifest.dataset.needed(manifest.folder) if not _exists(path)]
        lines += [f"{place_of(manifest, ('dataset', 'path'))}: {path}: no such dataset file" for path in needed_files]
    return list(dict.fromkeys(lines))


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        pass  # what else is wrong with it is said when it is opened
    return True
