"""Evaluate one case without pytest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

from pytest_mlscope.api.evaluation_settings import EvaluationSettings, list_of, path_of
from pytest_mlscope.cases import (
    Case,
    CaseChoice,
    Plan,
    agrees,
    allowed_values,
    expand,
    kinds_of,
    known_measurement,
    unknown_name,
)
from pytest_mlscope.components import build_registry
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.kinds import SHIPPED_MEASUREMENTS, described, evaluated, plugin_manager, project_registries
from pytest_mlscope.manifest import SHOWN, LoadedManifest, load_manifest
from pytest_mlscope.measurements import Context, Evaluation, Evaluator


def load_alone(manifest: Path) -> LoadedManifest:
    """A manifest, with what is shipped and the current folder's frameworks, and no plugins.

    :raises ManifestError: when it is wrong.
    """
    return load_manifest(manifest, build_registry(plugin_manager().hook, project=Path.cwd()))


def load_of_project(manifest: Path) -> LoadedManifest:
    """A manifest as a test run has it: with what installed plugins and the conftest files above it register.

    :raises MlscopeError: when the manifest is wrong, or a conftest cannot be loaded.
    """
    registry = project_registries([manifest.parent])[manifest.parent]
    if isinstance(registry, MlscopeError):
        raise registry
    return load_manifest(manifest, registry)


def _kinds(kinds: object) -> list[object]:
    allowed = ", ".join(each.name for each in SHIPPED_MEASUREMENTS if each.has_tests)
    chosen = list_of("kinds", kinds, f"kinds, of {allowed}")
    if not chosen:
        raise MlscopeError(f"kinds is empty, so there is nothing to evaluate; allowed: {allowed}")
    return chosen


def _one_case(cases: Sequence[Case], choice: Mapping[str, object], path: Path) -> Case:
    for name, value in choice.items():
        there = list(dict.fromkeys(getattr(case, name) for case in cases))
        if not any(each in there for each in allowed_values(value)):
            values = ", ".join(map(str, there))
            raise MlscopeError(f"{path}: no case with {name}={value!r}; name one of: {values}")
    matching = [case for case in cases if agrees(case, choice)]
    if len(matching) == 1:
        return matching[0]
    asked = ", ".join(f"{name}={value!r}" for name, value in choice.items()) or "nothing"
    candidates = ", ".join(case.id for case in (matching or cases)[:8])
    more = " …" if len(matching or cases) > 8 else ""
    problem = "no case" if not matching else f"{len(matching)} cases"
    raise MlscopeError(f"{path}: {problem} with {asked}; name one of: {candidates}{more}")


def _require_dimensions(names: Iterable[str]) -> None:
    """:raises TypeError: for a keyword that is the name of no dimension."""
    for name in names:
        if name in {each.name for each in fields(EvaluationSettings)}:
            raise TypeError(f"evaluate: {name} is a setting; write settings=EvaluationSettings({name}=…)")
    if wrong := unknown_name(names):
        raise TypeError(f"evaluate: {wrong}, kinds, plugins, settings")


def _chosen(manifest: LoadedManifest, choice: Mapping[str, object]) -> Case:
    """The one case with what is asked for; of what is not, at the first value of the dimension."""
    wanted = {name: value for name, value in choice.items() if value is not None}
    cases = expand(manifest)
    frameworks = allowed_values(wanted["framework"]) if "framework" in wanted else {case.framework for case in cases}
    first = next((case for case in cases if case.framework in frameworks), cases[0])
    if len({case.framework for case in cases if case.framework in frameworks}) == 1:
        wanted.setdefault("version", first.version)
    for name in SHOWN:
        wanted.setdefault(name, getattr(first, name))
    return _one_case(cases, wanted, manifest.path)


def evaluate(
    manifest: str | Path,
    *,
    kinds: Sequence[str] | None = None,
    plugins: Sequence[object] = (),
    settings: EvaluationSettings | None = None,
    **case: Unpack[CaseChoice],
) -> Evaluation:
    """Run one case of a manifest and return what it gave. It prints nothing.

    >>> evaluation = evaluate("digits.mlscope.yml", framework="onnxruntime", batch_size=32)  # doctest: +SKIP
    >>> evaluation.accuracy["top1"], evaluation.latency.p50  # of rows; seconds a batch  # doctest: +SKIP
    (0.9822, 0.000224)
    >>> evaluate("digits.mlscope.yml", timeout=60)
    Traceback (most recent call last):
    TypeError: evaluate: timeout is a setting; write settings=EvaluationSettings(timeout=…)

    :param manifest: path of a ``*.mlscope.yml``.
    :param kinds: which parts to evaluate; by default every kind the manifest has what it takes for.
    :param plugins: objects or modules with ``pytest_mlscope_*`` hooks, such as an imported ``conftest``.
    :param settings: time limit, restarts, CPUs, where environments are, whom to tell of progress.
    :param case: which case, by values of dimensions: ``framework``, ``version``, ``hardware``, ``precision``,
        ``preprocessing``, ``threads``, ``batch_size``, ``scenario``. What is not named must leave exactly one, or
        stands at the first value of its dimension.
    :raises TypeError: for an argument of another type, or of another name.
    :raises ManifestError: when the manifest is wrong.
    :raises CannotRun: when the case cannot run here.
    :raises MlscopeError: when it fails; see ``pytest_mlscope.errors``.
    """
    path = path_of("manifest", manifest)
    _require_dimensions(case)
    asked = None if kinds is None else _kinds(kinds)
    how = EvaluationSettings() if settings is None else settings
    if not isinstance(how, EvaluationSettings):
        raise TypeError(f"settings must be an EvaluationSettings, not {how!r}")
    manager = plugin_manager(list_of("plugins", plugins, "objects or modules with pytest_mlscope_* hooks"))
    loaded = load_manifest(path, build_registry(manager.hook, project=Path.cwd()))
    chosen = [known_measurement(loaded, kind) for kind in (kinds_of(loaded) if asked is None else asked)]
    plan = Plan.of(loaded, _chosen(loaded, case))
    evaluator = Evaluator(how.of_a_run())
    try:
        results: dict[str, Any] = {}
        for kind in [*chosen, *([loaded.registry.measurements["layers"]] if how.layers else [])]:
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
