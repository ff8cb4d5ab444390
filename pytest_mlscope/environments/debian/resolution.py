"""Which Debian packages some packages need, all of them together."""

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
        """The package that a name on the command line means."""
        if name in self._packages:
            return name
        providers = self._providers.get(name, [])
        if not providers:
            raise MlscopeError(f"no package {name!r} in this suite")
        if len(providers) > 1:
            raise MlscopeError(f"{name!r} is not a package; name one that provides it: {', '.join(providers)}")
        return providers[0]

    def needed(self, alternatives: Sequence[str], by: str) -> str | None:
        """The package that fulfils a dependency; ``None`` where one does already or the dependency is excluded."""
        if any(name in self._present or self._excluded(name) for name in alternatives):
            return None
        for name in alternatives:
            if name in self._packages:
                return name
            for provider in self._providers.get(name, ()):
                if not self._excluded(provider):
                    return provider
            # All that provide it are excluded, so whoever wrote the command does without it.
            if self._providers.get(name):
                return None
        raise MlscopeError(
            f"{by} depends on {' | '.join(alternatives)}, which this suite does not have; "
            "where it is not needed, --exclude it"
        )


def resolve(
    packages: Mapping[str, IndexedPackage], wanted: Sequence[str], *, exclude: Sequence[str] = ()
) -> tuple[DebianPackage, ...]:
    """The packages wanted and all that they depend on, by name.

    Of alternatives, one that is there already stands; else the first that exists, else the first that is provided.

    :param exclude: names, or patterns such as ``perl*``, of dependencies not to follow.
    :raises MlscopeError: when a package or a dependency does not exist.
    """
    resolution = _Resolution(packages, exclude)
    # All that was asked for comes first, so that it is what dependencies with alternatives settle on.
    queue = [resolution.choose(name) for name in dict.fromkeys(map(resolution.wanted, wanted))]
    for package in queue:
        for alternatives in package.dependencies:
            name = resolution.needed(alternatives, package.package.name)
            if name is not None:
                queue.append(resolution.choose(name))
    return tuple(resolution.chosen[name] for name in sorted(resolution.chosen))
