"""The Debian part of a framework environment: its packages, unpacked, and a Python among them made to run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_mlscope.environments.debian.download import download_packages
from pytest_mlscope.environments.debian.lock import DebianLock
from pytest_mlscope.environments.debian.unpack import prepare_root, unpack
from pytest_mlscope.errors import EnvironmentCreationError, FrameworkError
from pytest_mlscope.recorder import Recorder

FOLDER = "debian"
"""The folder of an environment in which its Debian packages are."""


@dataclass(frozen=True)
class _Platform:
    """What is where on one of Debian's architectures."""

    triplet: str
    loader: str


_PLATFORMS = {
    "amd64": _Platform("x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2"),
    "arm64": _Platform("aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1"),
    "ppc64el": _Platform("powerpc64le-linux-gnu", "lib64/ld64.so.2"),
}
_ALTERNATIVES = ("openblas-pthread", "blas", "lapack")
"""Folders of libraries among which a package's script would choose, the faster first; scripts are not run here."""
# libpthread is one of them: until glibc 2.34 it was a library of its own.
_C_LIBRARY = re.compile(r"(libc|libm|libpthread|ld-linux.*|ld64)\.so\.\d")


def python_series(interpreter: str) -> str:
    """The series of a Python, from its path.

    >>> python_series("usr/bin/python3.9")
    '3.9'

    :raises FrameworkError: when the name does not end in a version.
    """
    match = re.search(r"/python(\d+\.\d+)$", interpreter)
    if match is None:
        raise FrameworkError(
            f"environment.interpreter {interpreter!r} does not end in pythonX.Y; write such as usr/bin/python3.9"
        )
    return match[1]


def _inside(root: Path, path: str, key: str) -> Path:
    """:raises FrameworkError: for a path that leads outside or is not among the packages."""
    if ".." in PurePosixPath(path).parts or path.startswith("/"):
        raise FrameworkError(f"{key}: {path!r} leads out of the Debian packages")
    full = root / path
    if not full.exists():
        raise FrameworkError(f"{key}: {path!r} is in none of the Debian packages")
    return full


def unpack_packages(lock: DebianLock, environment: Path, *, home: Path, recorder: Recorder) -> None:
    """Download what is not in the cache and unpack all of it into the environment.

    :raises EnvironmentCreationError: when a package is not available, or cannot be unpacked.
    :raises OSError: when something cannot be written.
    """
    root = environment / FOLDER
    recorder.progress(f"getting {len(lock.packages)} Debian packages ({lock.size / 1e6:,.0f} MB)")
    paths = download_packages(lock, home=home, recorder=recorder)
    recorder.progress(f"unpacking {len(paths)} Debian packages into {root}")
    prepare_root(root)
    for package, path in zip(lock.packages, paths, strict=True):
        unpack(path, root, name=package.name)


def write_python(
    lock: DebianLock,
    environment: Path,
    *,
    interpreter: str,
    library_path: Sequence[str],
    emulator: Sequence[str] = (),
) -> None:
    """Write ``bin/python``, which runs the packages' Python with the packages' C library.

    Through the root's own dynamic loader, so that neither the machine's C library nor its cache of libraries plays a
    part. The script finds the packages from where it stands.

    :param interpreter: path among the packages.
    :param library_path: folders among the packages that come before the system's own.
    :param emulator: the words that run a program of this architecture, where this machine cannot.
    :raises FrameworkError: when one of these is not among the packages.
    """
    root = environment / FOLDER
    platform = _PLATFORMS[lock.architecture]
    _inside(root, interpreter, "environment.interpreter")
    if not (root / platform.loader).exists():
        raise FrameworkError("the Debian packages have no libc6, which environment.interpreter needs")
    for folder in library_path:
        _inside(root, folder, "environment.library_path")
    system = f"usr/lib/{platform.triplet}"
    alternatives = [f"{system}/{name}" for name in _ALTERNATIVES if (root / system / name).is_dir()]
    folders = [*library_path, *alternatives, system, "usr/lib"]
    libraries = ":".join(f'"$root"/{shlex.quote(folder)}' for folder in folders)
    # --inhibit-cache: /etc/ld.so.cache lists the machine's own libraries.
    command = [*map(shlex.quote, emulator), f'"$root"/{platform.loader}', "--inhibit-cache"]
    script = (
        "#!/bin/sh\n"
        f'root=$(cd "${{0%/*}}/../{FOLDER}" && pwd -P) || exit 127\n'
        f'exec {" ".join(command)} --library-path {libraries} "$root"/{shlex.quote(interpreter)} "$@"\n'
    )
    path = environment / "bin" / "python"
    path.parent.mkdir(exist_ok=True)
    path.write_text(script, "utf-8")
    path.chmod(0o755)


def check_library_path(environment: Path, library_path: Sequence[str]) -> None:
    """Hold the folders for a Python of this machine: a second C library in one process would crash it.

    :raises FrameworkError: when one is not among the packages or holds a C library.
    """
    for folder in library_path:
        for path in sorted(_inside(environment / FOLDER, folder, "environment.library_path").iterdir()):
            if _C_LIBRARY.fullmatch(path.name):
                raise FrameworkError(
                    f"environment.library_path: {folder!r} holds {path.name}, which this machine's Python cannot take "
                    "from elsewhere; make the Debian lock with --exclude libc6, or use environment.links"
                )


def make_links(environment: Path, site_packages: Path, links: Mapping[str, str]) -> None:
    """Make the symbolic links of ``environment.links``, which stay right when the environment is moved.

    :param links: path in ``site_packages`` to path among the packages.
    :raises FrameworkError: for a path that leads outside, or to nothing.
    :raises EnvironmentCreationError: when a file is in the way.
    """
    for name, target in links.items():
        full = _inside(environment / FOLDER, target, "environment.links")
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise FrameworkError(f"environment.links: {name!r} leads out of site-packages")
        path = site_packages / name
        if path.exists() or path.is_symlink():
            raise EnvironmentCreationError(f"environment.links: {path} is there already")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(full, path.parent))
