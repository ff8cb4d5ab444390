"""``debian-ARCHITECTURE.lock`` of a framework folder: the Debian packages of its environment, each by its sha256."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_mlscope.errors import FrameworkError

DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el"}
"""``platform.machine()`` to what Debian calls it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADERS = ("archive", "suite", "architecture")


@dataclass(frozen=True)
class DebianPackage:
    """One package of an archive."""

    name: str
    version: str
    sha256: str
    size: int
    """Bytes of the ``.deb``."""
    path: str
    """In the archive, such as ``pool/main/o/openblas/libopenblas0_0.3.13_amd64.deb``."""


@dataclass(frozen=True)
class DebianLock:
    """Packages and where they are available."""

    archives: tuple[str, ...]
    """Base URLs, in the order in which they are tried."""
    suite: str
    architecture: str
    """As Debian calls it."""
    packages: tuple[DebianPackage, ...]

    @property
    def size(self) -> int:
        """Bytes of all packages."""
        return sum(package.size for package in self.packages)

    def version(self, name: str) -> str | None:
        """The version of a package; ``None`` where it is not among them."""
        return next((package.version for package in self.packages if package.name == name), None)


def _is_safe(path: str) -> bool:
    # It follows the archive's URL, which may be a file:// one: ".." would lead out of the archive.
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def parse_debian_lock(text: str, *, origin: str) -> DebianLock:
    """Read a lock.

    :param origin: its file, for messages.
    :raises FrameworkError: naming the first line that is wrong.
    """
    headers: dict[str, list[str]] = {name: [] for name in _HEADERS}
    packages: dict[str, DebianPackage] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        place = f"{origin}:{number}"
        name, colon, value = content.partition(": ")
        if colon and name in headers:
            headers[name].append(value.strip())
            continue
        words = content.split()
        if len(words) != 5:
            raise FrameworkError(f"{place}: not 'NAME VERSION SHA256 SIZE PATH', nor one of {', '.join(_HEADERS)}")
        name, version, sha256, size, path = words
        if not (_NAME.fullmatch(name) and _SHA256.fullmatch(sha256) and size.isdecimal() and _is_safe(path)):
            raise FrameworkError(f"{place}: not a package's NAME VERSION SHA256 SIZE PATH; make the lock again")
        # Two versions of a package would unpack over each other, and the later win by chance.
        if name in packages:
            raise FrameworkError(f"{place}: {name} is there twice")
        packages[name] = DebianPackage(name, version, sha256, int(size), path)
    for name in ("suite", "architecture"):
        if len(headers[name]) != 1:
            raise FrameworkError(f"{origin}: must have one line '{name}: …', has {len(headers[name])}")
    if not headers["archive"]:
        raise FrameworkError(f"{origin}: has no line 'archive: URL', so its packages cannot be downloaded")
    if not packages:
        raise FrameworkError(f"{origin}: names no package")
    archives = tuple(url.rstrip("/") for url in headers["archive"])
    return DebianLock(archives, headers["suite"][0], headers["architecture"][0], tuple(packages.values()))


def read_debian_lock(path: Path) -> DebianLock:
    """Read a lock from its file.

    :raises FrameworkError: when it cannot be read or is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FrameworkError(f"{path}: cannot be read: {error}") from None
    return parse_debian_lock(text, origin=str(path))


def format_debian_lock(lock: DebianLock, *, comments: Sequence[str] = ()) -> str:
    """The lock as text, the packages by name; the inverse of :func:`parse_debian_lock`.

    :param comments: lines to put on top.
    """
    lines = [f"# {comment}" for comment in comments]
    lines += [f"archive: {archive}" for archive in lock.archives]
    lines += [f"suite: {lock.suite}", f"architecture: {lock.architecture}"]
    for package in sorted(lock.packages, key=lambda package: package.name):
        lines.append(f"{package.name} {package.version} {package.sha256} {package.size} {package.path}")
    return "\n".join(lines) + "\n"
