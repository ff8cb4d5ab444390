"""Leases, between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.machine import lease, locks
from pytest_mlscope.machine.lease import exclusive_lease, lease_holders, leases_folder, shared_lease
from pytest_mlscope.recorder import Recorder

HOLDING = textwrap.dedent(
    """
    import sys
    from pytest_mlscope.machine import lease

    with getattr(lease, sys.argv[1] + "_lease")(sys.argv[2]):
        print("held", flush=True)
        sys.stdin.readline()
    print("left", flush=True)
    """
)


class Holder:
    """Another process that takes a lease and holds it until told otherwise."""

    def __init__(self, kind: str, device: str = "cpu") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDING, kind, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_until_held(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def open_files(self) -> list[str]:
        try:
            return [str(entry.readlink()) for entry in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        except OSError:
            return []

    def is_waiting(self) -> bool:
        """Whether it has come to wait for a lock, rather than still be starting: it holds a lease file open."""
        return any(name.endswith((".turnstile", ".lease")) for name in self.open_files())

    def leave(self) -> None:
        self.process.communicate("\n", timeout=30)


@pytest.fixture
def holders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Holder]]:
    monkeypatch.setenv("MLSCOPE_LEASES", str(tmp_path / "leases"))
    started: list[Holder] = []
    yield started
    for holder in started:
        holder.process.kill()
        holder.process.communicate()


def start(holders: list[Holder], kind: str, device: str = "cpu") -> Holder:
    holders.append(Holder(kind, device))
    return holders[-1]


def test_shared_ones_share(holders: list[Holder]) -> None:
    for holder in (start(holders, "shared"), start(holders, "shared")):
        holder.wait_until_held()
    with shared_lease("cpu") as waited:
        assert waited >= 0


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs proc(5)")
def test_who_holds_one_is_known(holders: list[Holder]) -> None:
    """Holders of the same device are listed, other devices and this process are not."""
    assert lease_holders("cpu") == []
    for holder in (start(holders, "shared"), start(holders, "shared")):
        holder.wait_until_held()
    start(holders, "shared", "cuda").wait_until_held()
    assert lease_holders("cpu") == sorted(holder.process.pid for holder in holders[:2])
    with shared_lease("cpu"):
        assert os.getpid() not in lease_holders("cpu")


def test_an_exclusive_one_waits_for_a_shared_one_and_says_how_long(
    holders: list[Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAITING_AFTER", 0.05)
    sharing = start(holders, "shared")
    sharing.wait_until_held()
    told: list[str] = []

    class Leaving(Recorder):
        def waiting(self, line: str) -> None:
            told.append(line)
            sharing.leave()

    with exclusive_lease("cpu", recorder=Leaving()) as waited:
        (line,) = told
        assert f"waiting for process {sharing.process.pid}: only one" in line or sys.platform != "linux"
        assert waited >= 0.05


def test_a_shared_one_waits_for_an_exclusive_one(holders: list[Holder]) -> None:
    alone = start(holders, "exclusive")
    alone.wait_until_held()
    sharing = start(holders, "shared")
    while not sharing.is_waiting():
        assert sharing.process.poll() is None
    alone.leave()
    sharing.wait_until_held()


def test_devices_are_independent(holders: list[Holder]) -> None:
    start(holders, "exclusive", "cuda:0").wait_until_held()
    with exclusive_lease("cpu"), exclusive_lease("cuda:1"):
        pass


def test_a_killed_holder_holds_nothing(holders: list[Holder]) -> None:
    """The kernel frees the lock: no file is left to clean up."""
    alone = start(holders, "exclusive")
    alone.wait_until_held()
    os.kill(alone.process.pid, signal.SIGKILL)
    alone.process.wait()
    with exclusive_lease("cpu"):
        pass


def test_sharers_that_come_later_wait_behind_one_who_wants_it_alone(
    holders: list[Holder],
) -> None:
    """Without that, accuracy cases that follow one another would keep a latency case waiting until all are done."""
    first = start(holders, "shared")
    first.wait_until_held()
    alone = start(holders, "exclusive")
    while not any(name.endswith(".lease") for name in alone.open_files()):
        assert alone.process.poll() is None
    late = start(holders, "shared")
    while not late.is_waiting():
        assert late.process.poll() is None
    assert not any(name.endswith(".lease") for name in late.open_files()), "it passed the turnstile"
    first.leave()
    alone.wait_until_held()
    alone.leave()
    late.wait_until_held()


@pytest.mark.usefixtures("holders")
def test_asking_twice_is_an_error_and_no_deadlock() -> None:
    with shared_lease("cpu"), pytest.raises(RuntimeError, match="already held here"), exclusive_lease("cpu"):
        pass
    with exclusive_lease("cpu"):
        pass


@pytest.mark.usefixtures("holders")
def test_an_exception_gives_the_lease_back() -> None:
    with pytest.raises(KeyboardInterrupt), exclusive_lease("cpu"):
        raise KeyboardInterrupt
    with exclusive_lease("cpu"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLSCOPE_LEASES", str(tmp_path / "file" / "leases"))
    with (
        pytest.raises(MlscopeError, match=r"leases cannot be made: Not a directory; set MLSCOPE_LEASES to another"),
        shared_lease("cpu"),
    ):
        pass


def test_the_default_folder_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that everyone may write to, someone else may have been there first."""
    monkeypatch.delenv("MLSCOPE_LEASES", raising=False)
    monkeypatch.setattr(lease, "MACHINE_WIDE", tmp_path)
    folder = leases_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(MlscopeError, match="is not a folder of yours"):
        leases_folder()
