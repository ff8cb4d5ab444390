"""Makes a framework folder's Debian lock from what a suite has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_mlscope.environments.debian.index import SuiteIndex, read_index
from pytest_mlscope.environments.debian.lock import DEBIAN_ARCHITECTURES, DebianLock
from pytest_mlscope.environments.debian.resolution import resolve
from pytest_mlscope.errors import MlscopeError

ARCHIVES = ("http://deb.debian.org/debian", "http://archive.debian.org/debian")
"""The mirrors of what is supported, and of what no longer is."""
SNAPSHOTS = "http://snapshot.debian.org/archive/debian"


def debian_architecture(name: str) -> str:
    """Debian's name of an architecture.

    :param name: as ``platform.machine()`` or Debian calls it.
    :raises MlscopeError: for any other.
    """
    if name in DEBIAN_ARCHITECTURES:
        return DEBIAN_ARCHITECTURES[name]
    if name in DEBIAN_ARCHITECTURES.values():
        return name
    raise MlscopeError(f"no architecture {name!r}; allowed: {', '.join(DEBIAN_ARCHITECTURES)}")


def _first_index(
    archives: Sequence[str], suite: str, architecture: str, fetch: Callable[[str], bytes]
) -> tuple[str, SuiteIndex]:
    reasons = []
    for archive in archives:
        try:
            return archive, read_index(archive, suite, architecture, fetch=fetch)
        except MlscopeError as error:
            reasons.append(str(error))
    raise MlscopeError("; ".join(reasons))


def make_debian_lock(
    suite: str,
    architecture: str,
    packages: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    archives: Sequence[str] = ARCHIVES,
    fetch: Callable[[str], bytes],
) -> DebianLock:
    """The packages and all that they depend on, from the first archive that has the suite.

    :param suite: such as ``bullseye``.
    :param architecture: as ``platform.machine()`` or Debian calls it.
    :param exclude: names or patterns of dependencies to leave out.
    :param archives: base URLs. All of them come into the lock; of Debian's own, so does the snapshot of the day.
    :param fetch: what is at a URL; raises an :class:`~pytest_mlscope.errors.MlscopeError`.
    :raises MlscopeError: when no archive has the suite, or a package does not exist.
    """
    name = debian_architecture(architecture)
    archive, index = _first_index(archives, suite, name, fetch)
    chosen = resolve(index.packages, packages, exclude=exclude)
    sources = list(archives)
    # Mirrors drop superseded versions within days; the snapshot keeps exactly these.
    if archive in ARCHIVES and index.snapshot:
        sources.append(f"{SNAPSHOTS}/{index.snapshot}")
    return DebianLock(tuple(sources), suite, name, chosen)
