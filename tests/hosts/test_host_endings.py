"""Predictor hosts that die, hang, print or cannot be started: each gives its reason, and leaves nothing."""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.errors import HostCrashed, HostError, HostTimeout
from pytest_mlscope.hosts.client import HostClient
from tests.hosts.toy_host import MakeEnvironment, Start, load, predict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("death", "said"),
    [
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("os.abort()", "was killed by SIGABRT"),
        ("os._exit(0)", "exited with status 0"),
        ("os._exit(3)", "exited with status 3"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL, Killed (out of memory?)"),
        ("os.closerange(3, 1000); time.sleep(60)", "closed its pipe"),
    ],
)
def test_a_host_that_dies_says_how(toy: MakeEnvironment, start: Start, death: str, said: str) -> None:
    host = start(toy(predict=f"print('last words', flush=True); {death}"))
    load(host)
    with pytest.raises(HostCrashed) as caught:
        predict(host)
    assert said in str(caught.value)
    assert "predicting" in str(caught.value)
    assert "last words" in caught.value.output
    assert not host.alive


def test_a_hang_in_c_that_holds_the_interpreter_is_killed(toy: MakeEnvironment, start: Start) -> None:
    """PyDLL keeps the GIL, so nothing inside the host could end this; only a kill from outside does."""
    host = start(toy(predict="ctypes.PyDLL(None).sleep(600)"))
    load(host)
    began = time.monotonic()
    with pytest.raises(HostTimeout, match=r"no answer after 0\.5 s; the predictor host was killed"):
        predict(host, timeout=0.5)
    assert time.monotonic() - began < 30
    assert not psutil.pid_exists(host.pid)


@pytest.mark.slow
def test_children_of_the_framework_die_with_it(toy: MakeEnvironment, start: Start) -> None:
    host = start(
        toy(predict="import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)")
    )
    load(host)
    with pytest.raises(HostTimeout) as caught:
        predict(host, timeout=1.0)
    child = int(caught.value.output.strip())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_hundred_megabytes_of_output_neither_block_nor_are_kept(toy: MakeEnvironment, start: Start) -> None:
    host = start(
        toy(predict="for _ in range(100): sys.stderr.write('x' * 1000000 + '\\n')\nsys.stderr.write('the end\\n')")
    )
    load(host)
    predict(host, 2)
    deadline = time.monotonic() + 30
    while not host.output().endswith("the end"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(host.output()) < 100_000
    assert "bytes before this are left out" in host.output()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_framework", "No module named 'no_such_framework'"),
        ("x = 1", "defines no class FrameworkPredictor"),
        ("def broken(:", "SyntaxError"),
        ("import os; os._exit(7)", "exited with status 7"),
    ],
)
def test_a_predictor_that_cannot_be_imported_says_why(
    toy: MakeEnvironment, start: Start, source: str, said: str
) -> None:
    environment = toy()
    environment.framework.predictor.write_text(source)
    with pytest.raises(HostError, match="importing the framework") as caught:
        start(environment)
    assert said in str(caught.value)


def test_an_interpreter_that_vanished_says_how_to_get_it_back(
    toy: MakeEnvironment, start: Start, tmp_path: Path
) -> None:
    environment = replace(toy(), python=tmp_path / "gone" / "python")
    with pytest.raises(HostCrashed, match="mlscope env create toy"):
        start(environment)


def _hang(environment: Environment, pid: Path) -> None:
    host = HostClient(environment, threads=None, timeout=60)
    load(host)
    pid.write_text(str(host.pid))
    predict(host, timeout=600)


@pytest.mark.slow
def test_a_host_ends_when_its_parent_is_killed(toy: MakeEnvironment, tmp_path: Path) -> None:
    """Even one that hangs in C: otherwise every killed CI job would leave a process behind."""
    environment = toy(predict="ctypes.PyDLL(None).sleep(600)")
    parent = multiprocessing.get_context("spawn").Process(target=_hang, args=(environment, tmp_path / "pid"))
    parent.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    host_pid = int((tmp_path / "pid").read_text())
    time.sleep(0.3)
    parent.kill()
    parent.join()
    while psutil.pid_exists(host_pid) and psutil.Process(host_pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_what_a_killed_host_unpacked_goes_with_it(toy: MakeEnvironment, start: Start) -> None:
    source = "import tempfile\nprint(tempfile.mkdtemp(dir=os.environ['MLSCOPE_SCRATCH']), flush=True)\ntime.sleep(600)"
    host = start(toy(predict=source))
    load(host)
    with pytest.raises(HostTimeout) as caught:
        predict(host, timeout=2.0)
    unpacked = Path(caught.value.output.strip())
    assert unpacked.name.startswith("tmp")
    assert not unpacked.parent.exists()


def test_equal_lines_of_a_framework_are_folded_and_colours_go(toy: MakeEnvironment, start: Start) -> None:
    lines = r"\x1b[33mW odd node\x1b[0m\n  at graph:7\n"
    host = start(toy(predict=f"for _ in range(300): sys.stderr.write('{lines}')\nraise SystemExit(1)"))
    load(host)
    with pytest.raises(HostCrashed) as caught:
        predict(host, 2)
    assert caught.value.output.split("\n") == [
        "W odd node [… 299 more equal lines]",
        "  at graph:7 [… 299 more equal lines]",
    ]


def _open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_too_few_open_files_is_one_line(toy: MakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = toy()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _open_files()
    try:
        for room in range(14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
            try:
                HostClient(environment, threads=None, timeout=60).kill()
            except HostError as error:
                message = str(error)
                assert "no predictor host can be started: this process has as many open files as it may" in message
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert _open_files() <= used + 1, "nothing stays open"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
