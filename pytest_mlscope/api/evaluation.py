"""Evaluate one case without pytest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_mlscope.cases import Case, Plan, Threads, expand, kinds_of, known_measurement
from pytest_mlscope.components import build_registry
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.kinds import SHIPPED_MEASUREMENTS, described, evaluated, plugin_manager
from pytest_mlscope.machine import Affinity, cache_home
from pytest_mlscope.manifest import SHOWN, LoadedManifest, load_manifest
from pytest_mlscope.measurements import Context, Evaluation, Evaluator
from pytest_mlscope.option_values import DEFAULT_TIMEOUT
from pytest_mlscope.recorder import SILENT, Recorder
from pytest_mlscope.settings import Settings


def load_alone(manifest: Path) -> LoadedManifest:
    """A manifest, with what is shipped and the current folder's frameworks, and no plugins.

    :raises ManifestError: when it is wrong.
    """
    return load_manifest(manifest, build_registry(plugin_manager().hook, project=Path.cwd()))


def _list_of(name: str, values: object, what: str) -> list[object]:
    # A string is iterable too, but as letters.
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of {what}, not {values!r}")
    return list(values)


def _kinds(kinds: object) -> list[object]:
    allowed = ", ".join(each.name for each in SHIPPED_MEASUREMENTS if each.has_tests)
    chosen = _list_of("kinds", kinds, f"kinds, of {allowed}")
    if not chosen:
        raise MlscopeError(f"kinds is empty, so there is nothing to evaluate; allowed: {allowed}")
    return chosen


def _path(name: str, value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, not {value!r}")
    return Path(value)


def _seconds(timeout: object) -> float:
    # True is an int to Python, and would be a limit of one second.
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    return timeout


def _restarts(restarts: object) -> int | None:
    if restarts is not None and (isinstance(restarts, bool) or not isinstance(restarts, int)):
        raise TypeError(f"restarts must be a number of processes, not {restarts!r}")
    return restarts


def _affinity(affinity: object) -> Affinity:
    if affinity is None:
        return None
    cpus: list[int] = []
    for cpu in _list_of("affinity", affinity, "CPU numbers"):
        if isinstance(cpu, bool) or not isinstance(cpu, int):
            raise TypeError(f"affinity must be a list of CPU numbers, not {affinity!r}")
        cpus.append(cpu)
    if not cpus:
        raise MlscopeError("affinity is empty, so there is no CPU to run on")
    return tuple(sorted(set(cpus)))


def _one_case(cases: Sequence[Case], wanted: dict[str, object], path: Path) -> Case:
    for name, value in wanted.items():
        there = list(dict.fromkeys(getattr(case, name) for case in cases))
        if value is not None and value not in there:
            values = ", ".join(map(str, there))
            raise MlscopeError(f"{path}: no case with {name}={value!r}; name one of: {values}")
    matching = [
        case
        for case in cases
        if all(getattr(case, name) == value for name, value in wanted.items() if value is not None)
    ]
    if len(matching) == 1:
        return matching[0]
    asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None) or "nothing"
    candidates = ", ".join(case.id for case in (matching or cases)[:8])
    more = " …" if len(matching or cases) > 8 else ""
    problem = "no case" if not matching else f"{len(matching)} cases"
    raise MlscopeError(f"{path}: {problem} with {asked}; name one of: {candidates}{more}")


def evaluate(
    manifest: str | Path,
    *,
    framework: str | None = None,
    version: str | None = None,
    hardware: str | None = None,
    precision: str | None = None,
    threads: Threads | None = None,
    batch_size: int | None = None,
    scenario: str | None = None,
    preprocessing: str | None = None,
    kinds: Sequence[str] | None = None,
    layers: bool = False,
    restarts: int | None = None,
    affinity: Sequence[int] | None = None,
    provision: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    home: Path | None = None,
    plugins: Sequence[object] = (),
    recorder: Recorder = SILENT,
) -> Evaluation:
    """Run one case of a manifest and return what it gave.

    :param manifest: path of a ``*.mlscope.yml``.
    :param framework: … ``preprocessing``: which case; what is not named must leave exactly one, or stands at the first
        value of its dimension.
    :param kinds: which parts to evaluate; by default every kind the manifest has what it takes for.
    :param layers: profile the model layer by layer too, with its framework's own profiler.
    :param restarts: in how many fresh hosts the latency is measured; by default as the manifest says.
    :param affinity: CPU numbers that the host is pinned to; by default as the manifest says.
    :param provision: make a missing framework environment.
    :param timeout: seconds the case may take in its host.
    :param home: where environments and artifacts are kept; by default the user's cache folder.
    :param plugins: objects or modules with ``pytest_mlscope_*`` hooks.
    :param recorder: told what takes long; ``ConsoleRecorder(sys.stderr)`` prints it.
    :raises TypeError: for an argument of another type.
    :raises ManifestError: when the manifest is wrong.
    :raises CannotRun: when the case cannot run here.
    :raises MlscopeError: when it fails; see ``pytest_mlscope.errors``.
    """
    path = _path("manifest", manifest)
    asked = None if kinds is None else _kinds(kinds)
    settings = Settings(
        home=cache_home() if home is None else _path("home", home),
        timeout=_seconds(timeout),
        provision=provision,
        restarts=_restarts(restarts),
        affinity=_affinity(affinity),
        command_line=tuple(sys.argv),
        recorder=recorder,
    )
    manager = plugin_manager(_list_of("plugins", plugins, "objects or modules with pytest_mlscope_* hooks"))
    loaded = load_manifest(path, build_registry(manager.hook, project=Path.cwd()))
    chosen = [known_measurement(loaded, kind) for kind in (kinds_of(loaded) if asked is None else asked)]
    wanted: dict[str, object] = {
        "framework": framework,
        "version": version,
        "hardware": hardware,
        "precision": precision,
        "threads": threads,
        "batch_size": batch_size,
        "scenario": scenario,
        "preprocessing": preprocessing,
    }
    cases = expand(loaded)
    first = next((case for case in cases if case.framework == framework), cases[0])
    if version is None and len({case.framework for case in cases if framework in (None, case.framework)}) == 1:
        wanted["version"] = first.version
    for name in SHOWN:
        if wanted[name] is None:
            wanted[name] = getattr(first, name)
    plan = Plan.of(loaded, _one_case(cases, wanted, path))
    evaluator = Evaluator(settings)
    try:
        results: dict[str, Any] = {}
        for kind in [*chosen, *([loaded.registry.measurements["layers"]] if layers else [])]:
            results[kind.name] = evaluated(kind, Context(plan, evaluator, manager.hook, alone=kind.times))
        latency, readings = results.pop("latency", (None, {}))
        own = {name: results.pop(name, None) for name in ("accuracy", "parity", "layers")}
        # Before the hosts are closed: later, asking would start a new one.
        key, facts = evaluator.provenance(plan)
    finally:
        evaluator.close()
    evaluation = Evaluation(
        plan=plan,
        key=key,
        provenance=facts,
        latency=latency,
        readings=readings,
        measurements={name: described(loaded.registry.measurements[name], each) for name, each in results.items()},
        **own,
    )
    manager.hook.pytest_mlscope_evaluation_made(evaluation=evaluation)
    return evaluation
