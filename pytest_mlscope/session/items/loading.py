"""Registries and manifests of a run, loaded once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_mlscope.cases import Case, Plan, expand
from pytest_mlscope.components import Registry, build_registry, raised, raising_hook
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.manifest import LoadedManifest, is_valid, load_manifest

if TYPE_CHECKING:
    import pytest


def _check_modified(cases: Sequence[object], stated: Sequence[Case], manifest: LoadedManifest, where: str) -> None:
    """:raises MlscopeError: for what a hook put in the list that is no case of this manifest."""
    whose = (manifest.content.name, str(manifest.path), manifest.sha256)
    frameworks = manifest.content.frameworks
    versions = {version for entry in frameworks.values() for version in entry.versions}
    # What no hook touched needs no check, and a matrix may have a million cases.
    unchanged = set(map(id, stated))
    for case in cases:
        if id(case) in unchanged:
            continue
        if not isinstance(case, Case):
            raise MlscopeError(f"{where} left {case!r} in the list; expected Cases")
        if mistake := case.mistake():
            raise MlscopeError(f"{where} left a case with {mistake}")
        for name, number in (("batch_size", case.batch_size), ("threads", case.threads)):
            if isinstance(number, int) and number < 1:
                raise MlscopeError(f"{where} left a case with {name} {number}; expected 1 or more")
        if (case.model, case.manifest, case.manifest_sha256) != whose:
            raise MlscopeError(f"{where} left a case of another manifest, {case.manifest!r}")
        if case.framework not in frameworks:
            raise MlscopeError(
                f"{where} left a case of framework {case.framework!r}, which the manifest does not have; "
                f"it has: {', '.join(frameworks)}"
            )
        if case.scenario not in manifest.scenarios:
            raise MlscopeError(
                f"{where} left a case of scenario {case.scenario!r}, which has not what it takes here; allowed: "
                f"{', '.join(manifest.scenarios)}"
            )
        if case.version is not None and case.version not in versions and not is_valid(case.version):
            raise MlscopeError(f"{where} left a case of version {case.version!r}; expected PEP 440 specifiers or None")
    if not cases:
        raise MlscopeError(f"{where} left no case; leave at least one, or leave the manifest out by --ignore")
    # Hashing each case is what costs; a list that no hook touched has no repetitions.
    if list(map(id, cases)) != list(map(id, stated)):
        twice = [case for case, count in Counter(cast("Sequence[Case]", cases)).items() if count > 1]
        if twice:
            raise MlscopeError(f"{where} left the case {twice[0].id!r} more than once")


class Manifests:
    """Loads manifests against what the conftest files that apply to them register."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._registries: dict[Path, Registry] = {}
        self._loaded: dict[Path, tuple[LoadedManifest, list[Case]]] = {}
        self._elsewhere: dict[tuple[Path, Path], tuple[LoadedManifest, list[Case]]] = {}
        self._plans: dict[Case, Plan] = {}

    def forget_registries(self) -> None:
        """A plugin or conftest was added: what hooks register may differ."""
        self._registries.clear()

    def registry(self, session: pytest.Session, folder: Path) -> Registry:
        """What is registered for manifests of a folder.

        :raises MlscopeError: when a hook raises or returns nonsense.
        """
        if folder not in self._registries:
            hook = session.gethookproxy(folder)
            try:
                self._registries[folder] = build_registry(hook, project=self._config.rootpath)
            except MlscopeError:
                raise
            except Exception as error:
                raise MlscopeError(f"{raising_hook(error)} {raised(error)}") from error
        return self._registries[folder]

    def load(self, session: pytest.Session, path: Path) -> tuple[LoadedManifest, Sequence[Case]]:
        """A manifest and its cases, after ``pytest_mlscope_modify_cases``.

        :raises ManifestError: when it is wrong.
        :raises MlscopeError: when a hook is.
        """
        # A link and what it leads to are one manifest, and must not be loaded as two.
        path = path.resolve()
        if path not in self._loaded:
            manifest = load_manifest(path, self.registry(session, path.parent))
            stated = expand(manifest)
            cases = list(stated)
            # Not config.hook: only the conftest files between the root and the manifest apply to it.
            hook = session.gethookproxy(path)
            where = f"{path}: pytest_mlscope_modify_cases"
            try:
                returned = hook.pytest_mlscope_modify_cases(config=self._config, manifest=manifest.content, cases=cases)
            except Exception as error:
                # A hook is the user's code: whatever it raises becomes one line that names the hook.
                raise MlscopeError(f"{where} {raised(error)}") from error
            # Dropped without a word, its author would believe that it counted.
            if returned:
                raise MlscopeError(
                    f"{where} returned {type(returned[0]).__name__}; it must change the list `cases` in place and "
                    "return nothing"
                )
            _check_modified(cases, stated, manifest, where)
            self._loaded[path] = (manifest, cases)
        return self._loaded[path]

    def plan(self, case: Case) -> Plan:
        """What a case of a manifest that was loaded comes to."""
        if case not in self._plans:
            manifest, _ = self._loaded[Path(case.manifest)]
            self._plans[case] = Plan.of(manifest, case)
        return self._plans[case]

    def _counterpart(self, path: Path, project: Path) -> Path:
        """The folder here whose conftest files apply: that of the same name, where there is one."""
        path, project = path.resolve(), project.resolve()
        if path.is_relative_to(project):
            here = self._config.rootpath / path.relative_to(project).parent
            if here.is_dir():
                return here
        return self._config.rootpath

    def load_of(self, session: pytest.Session, path: Path, *, project: Path) -> tuple[LoadedManifest, Sequence[Case]]:
        """A manifest of another project and its cases, with that one's frameworks and what is registered here.

        :raises MlscopeError: when the manifest or a hook is wrong.
        """
        if (path, project) not in self._elsewhere:
            try:
                registry = build_registry(session.gethookproxy(self._counterpart(path, project)), project=project)
            except MlscopeError:
                raise
            except Exception as error:
                raise MlscopeError(f"{raising_hook(error)} {raised(error)}") from error
            manifest = load_manifest(path, registry)
            self._elsewhere[path, project] = (manifest, expand(manifest))
        return self._elsewhere[path, project]
