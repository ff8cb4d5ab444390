"""What is needed to repeat an evaluation, and the key that says whether two are of the same thing."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pytest_mlscope import __version__
from pytest_mlscope.hosts.ready_model import ReadyModel
from pytest_mlscope.machine.facts import NOT_AVAILABLE, machine_facts
from pytest_mlscope.machine.git import run_git
from pytest_mlscope.machine.hardware_identity import hardware_identity


@cache
def git_commit(folder: Path) -> str | None:
    """The commit checked out around a folder, with ``-dirty`` when files differ; ``None`` outside a repository."""
    try:
        described = run_git(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*", timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None if described.returncode == 0 else None


def evaluation_key(facts: Mapping[str, Any]) -> str:
    """Hash of everything that can change a result: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def provenance(ready: ReadyModel, *, command_line: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The key and the facts of one evaluation, builtin types only; see ``docs/json-report.md``."""
    case = ready.case
    manifest = case.manifest
    content = manifest.content
    machine = machine_facts()
    targets = manifest.registry.hardware_targets
    target = targets[case.hardware]
    hardware = hardware_identity(target, targets)
    sample = content.dataset.sample if content.dataset else None
    facts: dict[str, Any] = {
        "manifest": {"path": str(manifest.path), "sha256": manifest.sha256},
        "files": {
            role: {"path": str(artifact.path), "sha256": artifact.sha256, "size": artifact.size}
            for role, artifact in ready.artifacts.items()
        },
        "framework": {
            "name": case.framework,
            "version": ready.host.version,
            "build": ready.host.build,
            "python": ready.host.python_version,
            "libraries": ready.host.libraries,
            "environment": ready.environment.kind,
            "lock": ready.environment.lock_hash,
        },
        "host": {
            "affinity": "inherited" if ready.host.affinity is None else list(ready.host.affinity),
            "cpus": NOT_AVAILABLE if ready.host.cpus is None else ready.host.cpus,
            "thread_variables": ready.host.thread_variables,
        },
        "hardware": {"name": case.hardware, "device": ready.device, **hardware, "machine": machine},
        "resolved": dict(ready.resolved),
        "seed": sample.seed if sample else None,
        "plugin": __version__,
        "git_commit": git_commit(manifest.folder.resolve()),
        "command_line": list(command_line),
    }
    identity = {
        "manifest": manifest.sha256,
        "files": {role: artifact.sha256 for role, artifact in ready.artifacts.items()},
        "framework": facts["framework"],
        "device": ready.device,
        "architecture": hardware["architecture"],
        "machine": {name: machine.get(name) for name in ("architecture", "cpu_model", "cpu_flags")},
        # A GPU that the case does not use changes nothing.
        "gpus": None if target.is_a("cpu") else hardware["gpus"],
        "resolved": facts["resolved"],
        "affinity": ready.host.affinity,
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
    return evaluation_key(identity), facts
