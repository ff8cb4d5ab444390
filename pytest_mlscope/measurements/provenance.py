"""What is needed to repeat an evaluation, and the key that says whether two are of the same thing."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_mlscope import __version__
from pytest_mlscope.cases import Plan, kinds_of
from pytest_mlscope.components import Component
from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.machine import NOT_AVAILABLE, hardware_identity, machine_facts, run_git
from pytest_mlscope.measurements.code_identity import code_identity
from pytest_mlscope.measurements.dataset_identity import data_identity
from pytest_mlscope.measurements.provenance_facts import Provenance
from pytest_mlscope.measurements.rows.deadline import within
from pytest_mlscope.text import scrubbed


@cache
def git_commit(folder: Path) -> str | None:
    """The commit checked out around a folder, with ``-dirty`` when files differ; ``None`` outside a repository."""
    try:
        # With every tag excluded, what remains is the hash: tags can move.
        described = run_git(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*", timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None if described.returncode == 0 else None


def evaluation_key(facts: Mapping[str, Any]) -> str:
    """Hash of everything that can change a result: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _libraries(components: Iterable[Component]) -> dict[str, str]:
    """Versions of what reads and prepares rows in this process."""
    names = {"numpy", *(name for component in components for name in component.distributions())}
    found = {}
    for name in sorted(names):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _components(plan: Plan) -> list[Component]:
    """Those that an evaluation uses."""
    manifest = plan.manifest
    return [
        *([manifest.dataset] if manifest.dataset else []),
        *(step for each in plan.steps.values() for step in each),
        *(step for each in manifest.postprocessing.values() for step in each),
        *(bound.metric for bound in manifest.metrics),
        plan.scenario,
    ]


def provenance(ready: ReadyModel, *, command_line: tuple[str, ...], restarts: int = 1) -> tuple[str, Provenance]:
    """The key and the facts of one evaluation, builtin types only; see ``docs/json-report.md``.

    :param restarts: processes that a latency is measured in.
    """
    plan, case = ready.plan, ready.case
    manifest = plan.manifest
    machine = machine_facts()
    targets = manifest.registry.hardware_targets
    target = plan.target
    hardware = hardware_identity(target, targets)
    dataset = manifest.content.dataset
    sample = dataset.sample if dataset else None
    components = _components(plan)
    kinds = [type(manifest.registry.measurements[name]) for name in kinds_of(manifest)]
    code = code_identity(dict.fromkeys([*(type(component) for component in components), *kinds]))
    # Its bytes may come from a disk that hangs, as its rows may.
    data = within(ready.deadline, str(manifest.path), lambda: data_identity(manifest))
    libraries = {**code.libraries, **_libraries(components)}
    facts: Provenance = {
        "manifest": {"path": str(manifest.path), "sha256": manifest.sha256},
        "files": {
            role: {
                "path": str(artifact.path),
                "sha256": artifact.sha256,
                "size": artifact.size,
                "external": [str(path) for path in artifact.external],
            }
            for role, artifact in ready.artifacts.items()
        },
        "dataset": None if data is None else {"sha256": data.sha256, "files": data.files, "covers": data.covers},
        "code": dict(code.files),
        "libraries": libraries,
        "restarts": restarts,
        "settings": plan.changes(),
        # In builtin types: a plugin's scenario may have any.
        "scenario": json.loads(json.dumps(plan.scenario.model_dump(), default=str)),
        "not_hashed": [*code.not_hashed, *([data.why_not] if data is not None and data.why_not else [])],
        "framework": {
            "name": case.framework,
            "version": ready.host.version,
            "build": ready.host.started.build,
            "python": ready.host.started.python,
            "libraries": ready.host.started.libraries,
            "environment": ready.environment.kind,
            "lock": ready.environment.lock_hash,
        },
        "host": {
            "affinity": "inherited" if ready.host.affinity is None else list(ready.host.affinity),
            "cpus": NOT_AVAILABLE if ready.host.started.cpus is None else list(ready.host.started.cpus),
            "thread_variables": ready.host.started.thread_variables,
        },
        "hardware": {"name": case.hardware, "device": ready.device, **hardware, "machine": machine},
        "resolved": dict(ready.resolved),
        "seed": sample.seed if sample else None,
        "plugin": __version__,
        "git_commit": git_commit(manifest.folder.resolve()),
        "command_line": [scrubbed(argument) for argument in command_line],
    }
    parts: dict[str, Any] = {
        "manifest": manifest.sha256,
        "files": {role: artifact.sha256 for role, artifact in ready.artifacts.items()},
        "dataset": None if data is None else (data.sha256 or f"not hashed: {data.why_not}"),
        "labels": {output: list(names) for output, names in manifest.labels.items()},
        # Where a file lies changes nothing; a component without a file is known by its name.
        "code": [sorted(code.files.values()), sorted(code.not_hashed)],
        "libraries": libraries,
        "framework": facts["framework"],
        "device": [ready.device, hardware["architecture"]],
        "machine": {name: machine.get(name) for name in ("architecture", "cpu_model", "cpu_flags")},
        "cpu_quota": machine["cpu_quota"],
        # A GPU that the case does not use changes nothing.
        "gpus": None if target.is_a("cpu") else hardware["gpus"],
        "resolved": facts["resolved"],
        "affinity": ready.host.affinity,
        "restarts": restarts,
        "settings": facts["settings"],
        "case": [
            case.framework,
            case.hardware,
            case.precision,
            case.threads,
            case.batch_size,
            case.scenario,
            case.preprocessing,
        ],
        "plugin": __version__,
    }
    facts["key_parts"] = {name: evaluation_key({name: value}) for name, value in parts.items()}
    return evaluation_key(facts["key_parts"]), facts
