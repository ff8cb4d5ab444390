"""QEMU's user-mode emulation: programs of another processor's architecture, on this machine's kernel."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from pytest_mlscope.assets import shipped_root
from pytest_mlscope.components import Architecture
from pytest_mlscope.environments.debian.download import download_packages
from pytest_mlscope.environments.debian.lock import read_debian_lock
from pytest_mlscope.environments.debian.unpack import prepare_root, unpack
from pytest_mlscope.errors import EnvironmentCreationError
from pytest_mlscope.machine import describe_os_error, file_lock, machine_architecture, writable_folder
from pytest_mlscope.recorder import Recorder


def _lock() -> Path:
    """The Debian lock of QEMU for this machine."""
    return shipped_root() / "hardware" / f"qemu-user-{machine_architecture()}.lock"


def _kept(architecture: str, home: Path) -> Path:
    """Where the emulator is kept in the cache; another release of it has another place."""
    release = hashlib.sha256(_lock().read_bytes()).hexdigest()[:12]
    return home / "emulators" / release / f"qemu-{architecture}"


def find_emulator(architecture: str, *, home: Path) -> Path | None:
    """What runs programs of an architecture: ``qemu-ARCHITECTURE-static`` or ``qemu-ARCHITECTURE`` on ``PATH``, else
    the one in the cache; ``None`` where there is none.

    :param home: the cache, as of :func:`pytest_mlscope.machine.cache_folder.cache_home`.
    """
    for name in (f"qemu-{architecture}-static", f"qemu-{architecture}"):
        if found := shutil.which(name):
            return Path(found).absolute()
    if not _lock().is_file():
        return None
    kept = _kept(architecture, home)
    return kept if kept.is_file() else None


def get_emulator(architecture: str, *, home: Path, recorder: Recorder) -> Path:
    """As :func:`find_emulator`; where there is none, it comes from Debian's packages into the cache.

    :raises EnvironmentCreationError: when it is not available.
    """
    found = find_emulator(architecture, home=home)
    if found is not None:
        return found
    if not _lock().is_file():
        raise EnvironmentCreationError(
            f"no QEMU is pinned for {machine_architecture()}; install qemu-user-static, which emulates {architecture}"
        )
    kept = _kept(architecture, home)
    folder = writable_folder(kept.parent, error_type=EnvironmentCreationError)
    try:
        with file_lock(folder / ".lock"):
            if not kept.is_file():
                _unpack(folder, home=home, recorder=recorder)
    except OSError as error:
        raise EnvironmentCreationError(f"{folder}: QEMU cannot be kept there: {describe_os_error(error)}") from None
    if not kept.is_file():
        raise EnvironmentCreationError(f"{_lock()}: has no {kept.name}")
    return kept


def _unpack(folder: Path, *, home: Path, recorder: Recorder) -> None:
    """Keep the emulators of the architectures there are targets for; the packages have thirty."""
    lock = read_debian_lock(_lock())
    recorder.progress(f"getting QEMU {lock.packages[0].version} ({lock.size / 1e6:,.0f} MB)")
    # In the same folder, since a rename does not cross file systems.
    with TemporaryDirectory(dir=folder) as name:
        root = Path(name, "root")
        prepare_root(root)
        for package, deb in zip(lock.packages, download_packages(lock, home=home, recorder=recorder), strict=True):
            unpack(deb, root, name=package.name)
        for architecture in get_args(Architecture):
            program = root / "usr" / "bin" / f"qemu-{architecture}"
            if program.is_file():
                program.replace(folder / program.name)
