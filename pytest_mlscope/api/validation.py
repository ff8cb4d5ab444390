"""Checks a manifest and what it names, as far as that needs no framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.artifacts import package_file
from pytest_mlscope.artifacts.integrity import check, file_artifact
from pytest_mlscope.components.plugins import plugin_manager
from pytest_mlscope.components.registry import build_registry
from pytest_mlscope.documents.diagnostics import listed, one_line, quoted
from pytest_mlscope.documents.source import Path as DocumentPath
from pytest_mlscope.errors import ArtifactError, CannotRun, ManifestError, MlscopeError
from pytest_mlscope.host.onnx_file import NotOnnx, TensorSignature, onnx_signature
from pytest_mlscope.manifest.load import SUFFIX, load_manifest
from pytest_mlscope.manifest.loaded import LoadedManifest
from pytest_mlscope.manifest.place import place_of
from pytest_mlscope.manifest.schema import FrameworkEntry, Input, ModelFile, Output
from pytest_mlscope.measurements.rows.prepared_rows import RowPreparer
from pytest_mlscope.text import closest, did_you_mean

_FIRST_ROWS = 16


@dataclass(frozen=True)
class Validation:
    """What is wrong with a manifest and what it names."""

    path: Path
    mistakes: tuple[str, ...]
    """One line each: ``file:line:column: what is wrong``."""
    unchecked: tuple[str, ...]
    """What was not checked, and why: remote files, and what needs a library that is missing."""


def manifests_in(paths: Sequence[Path]) -> list[Path]:
    """The manifests that paths mean: files themselves, and those in folders.

    :raises MlscopeError: when a path is not there, or a folder has no manifest.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            if not inside:
                raise MlscopeError(f"{path}: the folder has no *{SUFFIX}")
            found += inside
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def validate_manifest(path: Path) -> Validation:
    """Check a manifest: its schema, the files it names, the dataset's columns, labels and first rows, and the names,
    types and shapes of inputs and outputs in its ONNX files. Nothing is downloaded and no framework is started.
    """
    try:
        manifest = load_manifest(path, build_registry(plugin_manager().hook, project=Path.cwd()))
    except ManifestError as error:
        return Validation(path, tuple(str(error).splitlines()), ())
    mistakes: list[str] = []
    unchecked: list[str] = []
    for framework, entry in manifest.content.frameworks.items():
        for where, file in _files_of(framework, entry):
            mistakes += _file_mistakes(manifest, entry, where, file, unchecked)
    if manifest.dataset is not None:
        try:
            _read_rows(manifest)
        except CannotRun as error:
            unchecked.append(f"{place_of(manifest, ('dataset',))}: dataset: {one_line(error)}")
        except MlscopeError as error:
            text, place = one_line(error), place_of(manifest, ("dataset",))
            mistakes.append(text if text.startswith(f"{manifest.path}:") else f"{place}: {text}")
    return Validation(path, tuple(dict.fromkeys(mistakes)), tuple(dict.fromkeys(unchecked)))


def _files_of(framework: str, entry: FrameworkEntry) -> Iterator[tuple[DocumentPath, ModelFile]]:
    for role, file in entry.files.items():
        yield ("frameworks", framework, "files", role), file
    for precision, files in entry.precision_files.items():
        for role, file in files.items():
            yield ("frameworks", framework, "precision_files", precision, role), file


def _file_mistakes(
    manifest: LoadedManifest, entry: FrameworkEntry, where: DocumentPath, file: ModelFile, unchecked: list[str]
) -> Iterator[str]:
    place = place_of(manifest, (*where, "path"))
    try:
        if file.path.startswith(package_file.SCHEME):
            local = package_file.package_file(file.path)
        elif file.path.startswith("file://"):
            local = Path(file.path.removeprefix("file://").removeprefix("localhost"))
        elif "://" in file.path:
            unchecked.append(f"{place}: {quoted(file.path)} is remote; it is checked when it is downloaded")
            return
        else:
            local = manifest.folder / file.path
        artifact = file_artifact(local)
        check(artifact, sha256=file.sha256, size=file.size)
    except CannotRun as error:
        unchecked.append(f"{place}: {one_line(error)}")
        return
    except ArtifactError as error:
        yield f"{place}: {one_line(error)}"
        return
    if local.suffix != ".onnx":
        return
    try:
        inputs, outputs, optional = onnx_signature(str(local))
    except (NotOnnx, OSError) as error:
        yield f"{place}: {local}: {error}"
        return
    content = manifest.content
    names = entry.input_names
    required = {each.name for each in inputs}
    stated = {names.get(each.name, each.name) for each in content.inputs}
    for index, each in enumerate(content.inputs):
        if names.get(each.name, each.name) not in optional:
            yield from _tensor_mistakes(manifest, local, ("inputs", index), each, names, inputs)
    for name in sorted(required - stated):
        yield f"{place_of(manifest, ('inputs',))}: {local} needs the input {quoted(name)}, which inputs does not name"
    for index, output in enumerate(content.outputs):
        yield from _tensor_mistakes(manifest, local, ("outputs", index), output, entry.output_names, outputs)


def _tensor_mistakes(
    manifest: LoadedManifest,
    file: Path,
    where: DocumentPath,
    stated: Input | Output,
    names: dict[str, str],
    there: list[TensorSignature],
) -> Iterator[str]:
    what = str(where[0])[:-1]
    name = names.get(stated.name, stated.name)
    found = next((each for each in there if each.name == name), None)
    if found is None:
        known = [each.name for each in there]
        remedy = f"; write its name, or map it under {what}_names" + did_you_mean(closest(name, known))
        place = place_of(manifest, (*where, "name"))
        yield f"{place}: {file} has no {what} {quoted(name)}; it has: {listed(known)}{remedy}"
        return
    if isinstance(stated, Input) and found.dtype and found.dtype != stated.dtype:
        place = place_of(manifest, (*where, "dtype"))
        yield f"{place}: {what} {quoted(name)} is {stated.dtype}, but {file} takes {found.dtype}"
    if stated.shape is None or found.shape is None:
        return
    place = place_of(manifest, (*where, "shape"))
    differ = len(stated.shape) != len(found.shape) or any(
        isinstance(ours, int) and theirs is not None and ours != theirs
        for ours, theirs in zip(stated.shape, found.shape, strict=False)
    )
    if differ:
        yield f"{place}: {what} {quoted(name)} is {_shape(stated.shape)}, but {file} has {_shape(found.shape)}"


def _shape(sizes: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"


def _read_rows(manifest: LoadedManifest) -> None:
    """Prepare the first rows: that needs the columns, the steps, the shapes and the labels to be right."""
    preparer = RowPreparer(manifest, preprocessing=next(iter(manifest.preprocessing)))
    try:
        failed = preparer.read(preparer.rows[:_FIRST_ROWS]).failed
    finally:
        preparer.source.close()
    if failed:
        raise MlscopeError(f"row {failed[0].rows[0]}: {failed[0].message}")
