"""What an evaluation's provenance holds: what is needed to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from pytest_mlscope.machine import HardwareIdentity, MachineFacts, NotAvailable
from pytest_mlscope.record_fields import Bytes, Count, Positive, Sha256


class ManifestFacts(TypedDict):
    """The model manifest."""

    path: str
    """Its path."""
    sha256: Sha256
    """sha256 of its bytes."""


class FileFacts(TypedDict):
    """A file."""

    path: str
    """Its path."""
    sha256: Sha256
    """sha256 of its bytes, followed by those of its external weights."""
    size: Bytes
    """Its size, without external weights."""
    external: Sequence[str]
    """Paths of further files that hold its weights."""


class DatasetFacts(TypedDict):
    """The dataset, as it was."""

    sha256: str | None
    """sha256 of the file's bytes; of several files, of their digests and names; without files, of parameters and code.
    ``None`` where none could be read."""
    files: Count
    """How many files it covers."""
    covers: Literal["files", "parameters and code", "parameters", "nothing"]
    """What the digest is of."""


class FrameworkFacts(TypedDict, total=False):
    """The framework and the environment it ran in."""

    name: str
    """Its name."""
    version: str
    """Its version as it states it itself."""
    build: Mapping[str, Any]
    """Further facts of the build that can change a result."""
    python: str
    """Python of the predictor host."""
    libraries: Mapping[str, Any]
    """Versions of the libraries of the framework environment."""
    environment: str
    """Which environment was used."""
    lock: str | None
    """Hash of the environment's lock."""


class HostFacts(TypedDict, total=False):
    """The predictor host."""

    affinity: Sequence[Count] | Literal["inherited"]
    """CPUs that the host was pinned to, or "inherited" where it ran where pytest may."""
    cpus: Sequence[Count] | NotAvailable
    """CPUs it could run on once the framework was imported."""
    thread_variables: Mapping[str, str]
    """Environment variables of thread pools (OMP_…, MKL_…, OPENBLAS_… and the like) as the host saw them."""


class HardwareFacts(HardwareIdentity, total=False):
    """What it ran on."""

    name: str
    """Hardware target."""
    device: str
    """What the framework calls the device."""
    machine: MachineFacts
    """The machine it ran on, as under run.machine."""


class Provenance(TypedDict, total=False):
    """What is needed to repeat an evaluation."""

    manifest: ManifestFacts
    """The model manifest."""
    files: Mapping[str, FileFacts]
    """Role to model file, as it was on disk."""
    dataset: DatasetFacts | None
    """The dataset, as it was; ``None`` where the manifest has none."""
    code: Mapping[str, str]
    """Source file of custom datasets, steps and metrics to its sha256, with the files beside it that it imports."""
    libraries: Mapping[str, str]
    """Versions of the libraries that read and prepare rows in the pytest process."""
    restarts: Positive
    """Processes that a latency is measured in."""
    settings: Mapping[str, Any]
    """Settings that were chosen in place of the manifest's, by its section; empty where none was."""
    scenario: Mapping[str, Any]
    """Settings of the case's scenario, the defaults included."""
    not_hashed: Sequence[str]
    """What could change the result and could not be read for the key."""
    key_parts: Mapping[str, str]
    """Name to hash of each part of the key: where two keys differ, these say in what."""
    framework: FrameworkFacts
    """The framework and the environment it ran in."""
    host: HostFacts
    """The predictor host."""
    hardware: HardwareFacts
    """What it ran on."""
    resolved: Mapping[str, Any]
    """What the request came to, read back from the framework where it can be: precision, threads and more."""
    seed: Count | None
    """Seed of the dataset's sample; ``None`` where all rows were asked for."""
    plugin: str
    """Version of pytest-mlscope."""
    git_commit: str | None
    """Commit of the manifest's folder, with -dirty where files differed; ``None`` outside a git checkout."""
    command_line: Sequence[str]
    """The command and its arguments, as the process that ran the item saw them."""
