"""Where the emulator of another architecture comes from."""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from pathlib import Path

import pytest

from pytest_mlscope.environments import emulator
from pytest_mlscope.environments.emulator import find_emulator, get_emulator
from pytest_mlscope.errors import EnvironmentCreationError
from pytest_mlscope.machine.emulation import why_no_emulation
from pytest_mlscope.machine.facts import machine_architecture
from pytest_mlscope.recorder import SILENT
from tests.recorders import Told

PROGRAM = b"#!/bin/sh\nexit 3\n"


def _deb(*names: str) -> bytes:
    """A Debian package of these programs, as deb(5) describes it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"./usr/bin/{name}")
            member.size, member.mode = len(PROGRAM), 0o755
            archive.addfile(member, io.BytesIO(PROGRAM))
    parts = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("data.tar.xz", data.getvalue())):
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        parts += header + content + b"\n" * (len(content) % 2)
    return parts


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with a package of QEMU, and its lock in place of the shipped one; returns the archive."""
    deb = _deb("qemu-aarch64", "qemu-ppc64le", "qemu-vax")
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "qemu-user.deb").write_bytes(deb)
    lock = tmp_path / "hardware" / f"qemu-user-{machine_architecture()}.lock"
    lock.parent.mkdir()
    sha256 = hashlib.sha256(deb).hexdigest()
    lock.write_text(
        f"archive: {archive.as_uri()}\nsuite: any\narchitecture: any\nqemu-user 1.0 {sha256} {len(deb)} qemu-user.deb\n"
    )
    monkeypatch.setattr(emulator, "shipped_root", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return archive


def test_the_users_own_comes_first(pinned: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "qemu-aarch64-static"
    program.parent.mkdir()
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    assert find_emulator("aarch64", home=tmp_path / "home") == program
    told = Told()
    assert get_emulator("aarch64", home=tmp_path / "home", recorder=told) == program
    assert told.lines == []


def test_without_one_it_comes_from_debian_once_for_all_architectures(pinned: Path, tmp_path: Path) -> None:
    home, told = tmp_path / "home", Told()
    assert find_emulator("aarch64", home=home) is None
    program = get_emulator("aarch64", home=home, recorder=told)
    assert program.read_bytes() == PROGRAM
    assert program.stat().st_mode & 0o111
    (pinned / "qemu-user.deb").unlink()
    assert find_emulator("aarch64", home=home) == program
    assert get_emulator("ppc64le", home=home, recorder=told).read_bytes() == PROGRAM
    assert told.lines == ["getting QEMU 1.0 (0 MB)"]
    assert sorted(path.name for path in program.parent.iterdir()) == [".lock", "qemu-aarch64", "qemu-ppc64le"]


def test_an_architecture_the_packages_lack_is_one_line(pinned: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentCreationError, match=r"qemu-user-.*\.lock: has no qemu-s390x$"):
        get_emulator("s390x", home=tmp_path / "home", recorder=SILENT)


def test_a_package_that_cannot_be_had_leaves_nothing(pinned: Path, tmp_path: Path) -> None:
    (pinned / "qemu-user.deb").write_bytes(b"something else")
    with pytest.raises(EnvironmentCreationError, match=r"qemu-user 1\.0 is not available"):
        get_emulator("aarch64", home=tmp_path / "home", recorder=SILENT)
    assert find_emulator("aarch64", home=tmp_path / "home") is None


def test_the_machines_own_architecture_is_never_emulated() -> None:
    assert why_no_emulation(machine_architecture()) is not None


def test_only_linux_emulates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert why_no_emulation("s390x") == "QEMU runs single programs on Linux alone, not on Darwin"
