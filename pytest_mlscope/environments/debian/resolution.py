"""Finds the Debian packages that a set of packages needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pytest_mlscope.environments.debian.index import IndexedPackage
from pytest_mlscope.environments.debian.lock import DebianPackage
from pytest_mlscope.errors import MlscopeError


class _Resolution:
    def __init__(self, packages: Mapping[str, IndexedPackage], exclude: Sequence[str]) -> None:
        self._packages = packages
        self._exclude = exclude
        self._providers: dict[str, list[str]] = {}
        # Sorted, so that of several providers the same one is chosen each time a lock is made.
        for name in sorted(packages):
            for virtual in packages[name].provides:
                self._providers.setdefault(virtual, []).append(name)
        self._present: set[str] = set()
        self.chosen: dict[str, DebianPackage] = {}

    def _excluded(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._exclude)

    def choose(self, name: str) -> IndexedPackage:
        package = self._packages[name]
        self.chosen[name] = package.package
        self._present.update((name, *package.provides))
        return package

    def wanted(self, name: str) -> str:
        """The package that a name on the command line stands for."""
        if name in self._packages:
            return name
        providers = self._providers.get(name, [])
        if not providers:
            raise MlscopeError(f"this suite has no package {name!r}")
        if len(providers) > 1:
            raise MlscopeError(f"{name!r} is not a package; name one that provides it: {', '.join(providers)}")
        return providers[0]

    def needed(self, alternatives: Sequence[str], by: str) -> str | None:
        """The package to add for a dependency; ``None`` where a chosen package fulfils it or it is excluded."""
        if any(name in self._present or self._excluded(name) for name in alternatives):
            return None
        for name in alternatives:
            if name in self._packages:
                return name
            for provider in self._providers.get(name, ()):
                if not self._excluded(provider):
                    return provider
            # Every provider is excluded, so the author of the command does not want this dependency.
            if self._providers.get(name):
                return None
        raise MlscopeError(
            f"{by} depends on {' | '.join(alternatives)}, which this suite does not have; "
            "if you do not need it, --exclude it"
        )


def resolve(
    packages: Mapping[str, IndexedPackage], wanted: Sequence[str], *, exclude: Sequence[str] = ()
) -> tuple[DebianPackage, ...]:
    """The wanted packages and all their dependencies, sorted by name.

    Of several alternatives, one that is already chosen wins; otherwise the first that is a package or has a provider.

    :param exclude: names, or patterns such as ``perl*``, of dependencies not to follow.
    :raises MlscopeError: when a package or a dependency does not exist.
    """
    resolution = _Resolution(packages, exclude)
    # The wanted packages are chosen first, so that they win where a dependency has alternatives.
    queue = [resolution.choose(name) for name in dict.fromkeys(map(resolution.wanted, wanted))]
    for package in queue:
        for alternatives in package.dependencies:
            name = resolution.needed(alternatives, package.package.name)
            if name is not None:
                queue.append(resolution.choose(name))
    return tuple(resolution.chosen[name] for name in sorted(resolution.chosen))
