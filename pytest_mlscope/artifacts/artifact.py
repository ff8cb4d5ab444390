"""Turns a manifest's model file into a checked file on disk."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_mlscope.artifacts import package_file
from pytest_mlscope.artifacts.download import download
from pytest_mlscope.artifacts.integrity import Artifact, check, file_artifact
from pytest_mlscope.errors import ArtifactError, MlscopeError
from pytest_mlscope.files import replacing
from pytest_mlscope.machine import artifacts_folder, describe_os_error, file_lock, writable_folder
from pytest_mlscope.manifest import BuildStep, ModelFile
from pytest_mlscope.recorder import Recorder
from pytest_mlscope.text import without_secrets

__all__ = ["Artifact", "materialise"]


def materialise(file: ModelFile, *, base: Path, home: Path, recorder: Recorder) -> Artifact:
    """Find, download or build a model file, and check it.

    :param base: what a relative path is relative to.
    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    :param recorder: told when something takes time.
    :raises CannotRun: when a package is missing that the file is in, or that downloading or building it needs.
    :raises ArtifactError: when it is not there, or cannot be read, downloaded or built.
    :raises IntegrityError: when size or sha256 are not the manifest's.
    """
    if "://" not in file.path:
        origin, local = None, base / file.path
    elif file.path.startswith(package_file.SCHEME):
        origin, local = file.path, package_file.package_file(file.path)
    elif file.path.startswith("file://"):
        origin, local = None, _path_of_file_url(file.path)
    else:
        origin, local = without_secrets(file.path), _downloaded(file, home, recorder)
    artifact = file_artifact(local, origin=origin)
    if file.build is None:
        # A file that is built upon may lack its weights: new ones are made.
        artifact = artifact.with_external_weights(origin=origin)
    check(artifact, sha256=file.sha256, size=file.size, origin=origin)
    return _built(artifact, file.build, home, recorder) if file.build else artifact


def _path_of_file_url(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ArtifactError(f"{url}: is not of this machine; write file:///absolute/path, or a relative path alone")
    return Path(urllib.parse.unquote(parts.path))


def _cached_path(home: Path, folder: str, name: str) -> Path:
    """Where the artifact cache keeps a file; frameworks go by its suffix, so the name is kept."""
    return artifacts_folder(home) / folder / (re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "file")


@contextmanager
def _being_made(path: Path, recorder: Recorder) -> Iterator[None]:
    """Hold the lock on a cached file's folder."""
    place = writable_folder(path.parent, error_type=ArtifactError)

    def waiting() -> None:
        recorder.waiting(f"waiting for another process that is making {path}")

    lock = file_lock(place / ".lock", waiting=waiting)
    try:
        lock.__enter__()
    except OSError as error:
        raise ArtifactError(f"{place}: cannot be locked: {describe_os_error(error)}") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _recorded(path: Path) -> str | None:
    """The sha256 in a cached file's record; ``None`` when the file was not completed."""
    try:
        record = json.loads(_record(path).read_text("utf-8"))
        return str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_intact(path: Path) -> bool:
    """Whether a cached file is complete and is what it was when it was made."""
    recorded = _recorded(path)
    return recorded is not None and path.is_file() and file_artifact(path).sha256 == recorded


def _cached(path: Path, make: Callable[[Path], None], facts: dict[str, object], recorder: Recorder) -> Path:
    """The cached file, made where it is missing or no longer what it was. One that is there needs no lock and nothing
    written, so a cache may be read-only."""
    if _is_intact(path):
        return path
    with _being_made(path, recorder):
        if _is_intact(path):
            return path
        if _recorded(path) is not None:
            recorder.progress(f"{path} is not what it was when it was made; making it again")
        try:
            # The record goes first and comes last: a file without one was not completed, whatever is in it.
            _record(path).unlink(missing_ok=True)
            make(path)
            _write_record(path, facts)
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be written: {describe_os_error(error)}") from None
    return path


def _write_record(path: Path, facts: dict[str, object]) -> None:
    with replacing(_record(path)) as file:
        file.write(json.dumps({"sha256": file_artifact(path).sha256, **facts}, indent=1))


def _downloaded(file: ModelFile, home: Path, recorder: Recorder) -> Path:
    url, shown = file.path, without_secrets(file.path)
    # Where the manifest gives no sha256 the URL has to do; what came from it is kept until the cache is cleared.
    key = file.sha256 or f"url-{hashlib.sha256(url.encode()).hexdigest()}"
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])

    def make(path: Path) -> None:
        download(url, path, size=file.size, recorder=recorder)
        try:
            # Before it counts as cached: otherwise each later run would fail on the same wrong file.
            check(file_artifact(path), sha256=file.sha256, size=file.size, origin=shown)
        except MlscopeError:
            # What is wrong is of no use to anyone, and may be large.
            path.unlink(missing_ok=True)
            raise

    return _cached(_cached_path(home, f"downloads/{key}", name), make, {"url": shown}, recorder)


def _built(source: Artifact, step: BuildStep, home: Path, recorder: Recorder) -> Artifact:
    from pytest_mlscope.artifacts.builders import BUILDERS

    builder = BUILDERS[step.builder]
    facts: dict[str, object] = {
        "builder": step.builder,
        # Any change of the builder's code may change what it makes.
        "builder_sha256": builder.code_sha256,
        "seed": step.seed,
        "source_sha256": source.sha256,
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def make(path: Path) -> None:
        recorder.progress(f"building {path.name}: {step.builder} of {source.path}")
        # Under another name until it is whole: a builder that is killed leaves half a file.
        unfinished = path.with_name(f"{path.name}.part")
        try:
            builder.build(source.path, unfinished, seed=step.seed)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    name = builder.name(source.path)
    return file_artifact(_cached(_cached_path(home, f"built/{key}", name), make, facts, recorder))
