"""Environments are really made here, from tiny wheels."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments import interpreters, package_installation
from pytest_mlscope.environments.creation import create_environment
from pytest_mlscope.environments.package_installation import InstallerChoice
from pytest_mlscope.environments.package_installer import Uv, find_uv
from pytest_mlscope.environments.provisioned import MARKER, list_environments, remove_environment
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.errors import EnvironmentCreationError, MlscopeError
from pytest_mlscope.recorder import SILENT, Recorder
from tests.environments.toy_framework import MakeFramework, write_wheel
from tests.recorders import Told

# The installer that is quicker where it is there; what is tested with it does not depend on which it is.
QUICK: InstallerChoice = "uv" if find_uv() else "pip"

pytestmark = pytest.mark.usefixtures("index")


def create(
    folder: FrameworkFolder, home: Path, *, installer: InstallerChoice = QUICK, force: bool = False
) -> list[str]:
    """Make the environment; the progress it told."""
    told = Told()
    create_environment(folder, home=home, recorder=told, installer=installer, force=force)
    assert all("\n" not in line for line in told.lines)
    return told.lines


def ask(python: Path, code: str) -> str:
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_made_found_listed_and_removed(
    make_framework: MakeFramework, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever interpreter pytest itself runs in must not shine through."""
    monkeypatch.setenv("PYTHONPATH", "/nonexistent/leak")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    folder = make_framework()
    lines = create(folder, home)
    assert lines[0].startswith(f"toy: installing 2 packages with {QUICK} for Python 3.")
    assert lines[-1].startswith("toy: 1.5.0 ready in ")

    environment = find_environment(folder, constraint="==1.5.0", home=home)
    assert (environment.kind, environment.version) == ("provisioned", "1.5.0")
    assert ask(environment.python, "import toyframework; print(toyframework.__version__)") == "1.5.0"
    with pytest.raises(subprocess.CalledProcessError):
        ask(environment.python, "import pytest")

    (listed,) = list_environments(home)
    assert listed.marker
    assert listed.marker["packages"]["toyframework"] == "1.5.0"
    assert listed.marker["installer"] == QUICK
    assert listed.size() > 0
    assert remove_environment("toy", home) == [listed.path]
    assert list_environments(home) == []


def test_one_that_is_ready_is_kept_unless_forced(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework()
    create(folder, home)
    witness = list_environments(home)[0].path / "witness"
    witness.touch()
    assert create(folder, home) == [f"toy: ready in {witness.parent}"]
    assert witness.exists()
    create(folder, home, force=True)
    assert not witness.exists()


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a shell script in the place of uv."""

    def write(script: str) -> Path:
        path = tmp_path / "uv"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(package_installation, "find_uv", lambda: Uv([str(path)]))
        return path

    return write


CREATING = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from pytest_mlscope.environments import package_installation
    from pytest_mlscope.environments.creation import create_environment
    from pytest_mlscope.environments.package_installer import Uv
    from pytest_mlscope.components.framework import FrameworkFolder
    from pytest_mlscope.recorder import Recorder

    folder, home, installer, fatal = sys.argv[1:]
    if "/" in installer:
        fake, installer = Uv([installer]), "uv"
        package_installation.find_uv = lambda: fake

    class Fatal(Recorder):
        def progress(self, line):
            print(line, flush=True)
            if fatal and fatal in line:
                os.kill(os.getpid(), signal.SIGKILL)

    create_environment(FrameworkFolder(Path(folder)), home=Path(home), recorder=Fatal(), installer=installer)
    """
)


def creating(folder: FrameworkFolder, home: Path, *, installer: str = QUICK, fatal: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CREATING, str(folder.path), str(home), installer, fatal]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_killed_in_the_middle_and_made_again(
    make_framework: MakeFramework, home: Path, fake_uv: Callable[[str], Path], tmp_path: Path
) -> None:
    """The installer outlives the killed process and holds the lock, so that the next creation never works beside it."""
    ended = tmp_path / "installer-ended"
    slow = fake_uv(f'trap "" PIPE HUP\nfor last; do :; done\nmkdir -p "$last"; echo Resolved; sleep 1; touch {ended}')
    folder = make_framework()
    killed = creating(folder, home, installer=str(slow), fatal="Resolved")
    killed.wait(timeout=60)
    assert killed.stdout
    killed.stdout.close()
    assert killed.returncode == -signal.SIGKILL
    assert [environment.marker for environment in list_environments(home)] == [None]
    assert not ended.exists()

    again = creating(folder, home)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert "toy: removing what is left of " in output
    assert ended.exists()
    assert find_environment(folder, home=home).version == "1.5.0"


@pytest.mark.slow
def test_two_at_once_make_one(make_framework: MakeFramework, home: Path) -> None:
    """The second of two processes waits, and uses what the first has made."""
    folder = make_framework()
    both = [creating(folder, home) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted("installing" in output for output in outputs) == [False, True]
    assert len(list_environments(home)) == 1


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupt_kills_the_installer_and_leaves_nothing(
    make_framework: MakeFramework, home: Path, fake_uv: Callable[[str], Path], tmp_path: Path
) -> None:
    """And what the installer started, such as a compiler."""
    pids = tmp_path / "pids"
    fake_uv(f'sleep 300 & echo $$ $! > {pids}; for last; do :; done; mkdir -p "$last"; echo Resolved; wait')

    class Interrupting(Recorder):
        def progress(self, line: str) -> None:
            if "Resolved" in line:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_environment(make_framework(), home=home, recorder=Interrupting(), installer="uv")
    for pid in pids.read_text().split():
        deadline = time.monotonic() + 10
        while is_alive(pid):  # A grandchild dies of the signal at once, but nobody here can wait for it.
            assert time.monotonic() < deadline, f"process {pid} was left running"
    assert list_environments(home) == []


def test_verify_decides_whether_it_is_complete(make_framework: MakeFramework, home: Path) -> None:
    """Where the predictor does not load, nothing of the environment is left."""

    def refuse(environment: object) -> str:
        raise MlscopeError("toy: the predictor does not load")

    with pytest.raises(MlscopeError, match="does not load"):
        create_environment(make_framework(), home=home, recorder=SILENT, installer=QUICK, verify=refuse)
    assert list_environments(home) == []


def failure(folder: FrameworkFolder, home: Path, *, installer: InstallerChoice = QUICK) -> str:
    """The first line of the error; the tool's output, indented, is all that may follow it."""
    with pytest.raises(EnvironmentCreationError) as caught:
        create(folder, home, installer=installer)
    first, *rest = str(caught.value).split("\n")
    assert all(line.startswith("    ") for line in rest)
    assert list_environments(home) == []
    return first


def test_a_package_that_is_not_to_be_had(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework(lock="numpy==2.0.0\ntoyframework==9.9\n")
    assert failure(folder, home) == (
        f"toy: installing with {QUICK} failed: a package of the lock is not available for this Python"
    )


def test_a_hash_that_is_not_the_locked_one(make_framework: MakeFramework, home: Path) -> None:
    wrong = f"--hash=sha256:{'0' * 64}"
    folder = make_framework(lock=f"numpy==2.0.0 \\\n    {wrong}\ntoyframework==1.5.0 \\\n    {wrong}\n")
    assert failure(folder, home) == (
        f"toy: installing with {QUICK} failed: a package's hash is not the one in the lock"
    )


def test_an_index_that_cannot_be_reached(
    make_framework: MakeFramework, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installer's many words for it are one reason."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/more")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert failure(make_framework(), home) == (
        f"toy: installing with {QUICK} failed: a package index cannot be reached"
    )


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3."
            "connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection "
            "refused')': /simple/numpy/\nERROR: No matching distribution found for numpy==2.0.0",
            "a package index cannot be reached",
        ),
        (
            "ERROR: No matching distribution found for toyframework==9.9",
            "a package of the lock is not available for this Python",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a package's hash is not the one in the lock",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Segmentation fault", "exit status 2"),
    ],
)
def test_what_pip_says_and_what_it_means(
    make_framework: MakeFramework, home: Path, fake_uv: Callable[[str], Path], tmp_path: Path, printed: str, cause: str
) -> None:
    """pip's own words, recorded: with a real pip each of these takes five seconds."""
    (tmp_path / "printed").write_text(printed)
    fake_uv(f"cat {tmp_path}/printed; exit 2")
    assert failure(make_framework(), home, installer="uv") == f"toy: installing with uv failed: {cause}"


@pytest.mark.slow
def test_pip_takes_over_where_uv_fails_and_says_so(
    make_framework: MakeFramework, home: Path, fake_uv: Callable[[str], Path]
) -> None:
    fake_uv('echo "error: uv is not well" >&2; exit 2')
    lines = create(make_framework(), home, installer="auto")
    assert "toy: installing with uv failed: exit status 2; trying again with pip" in lines
    assert lines[-1].startswith("toy: 1.5.0 ready in ")
    assert [(e.marker or {})["installer"] for e in list_environments(home)] == ["pip"]


def test_a_full_disk_is_not_tried_a_second_time(
    make_framework: MakeFramework, home: Path, fake_uv: Callable[[str], Path]
) -> None:
    fake_uv('echo "error: failed to write: No space left on device (os error 28)" >&2; exit 2')
    assert failure(make_framework(), home, installer="auto") == "toy: installing with uv failed: the disk is full"


@pytest.mark.slow
def test_no_interpreter(make_framework: MakeFramework, home: Path) -> None:
    """The message names where was looked, and how to get a Python that fits."""
    assert failure(make_framework(python=">=3.99"), home) == (
        "toy: needs a Python >=3.99, and none was found on PATH, in ~/.pyenv or of uv; "
        "get one with: uv python install VERSION"
    )


def test_no_lock(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework(lock=None)
    assert failure(folder, home) == "toy: its folder has no requirements.lock to make an environment from"


def test_a_lock_against_its_own_framework_yml(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework(version=">=2")
    assert failure(folder, home) == f"{folder.lock}: pins toyframework 1.5.0, and framework.yml wants '>=2'"


def test_a_lock_without_the_framework(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework(lock="numpy==2.0.0\n")
    assert failure(folder, home) == f"{folder.lock}: installs none of toyframework, of framework.yml"


def test_a_lock_without_numpy(make_framework: MakeFramework, home: Path) -> None:
    """The host needs numpy in every environment, whatever the framework needs."""
    folder = make_framework(lock="toyframework==1.5.0\n")
    assert failure(folder, home).startswith("toy: numpy cannot be imported in ")


def test_an_unpinned_lock_that_brings_another_version(make_framework: MakeFramework, home: Path, index: Path) -> None:
    write_wheel(index, "toyframework", "3.0.0", "__version__ = '3.0.0'")
    folder = make_framework(version="<2", lock="numpy\ntoyframework\n")
    assert failure(folder, home) == f"{folder.lock}: installs toyframework 3.0.0, and framework.yml wants '<2'"


def test_a_home_that_is_a_file(make_framework: MakeFramework, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(EnvironmentCreationError, match=r"the cache folder cannot be written to: Not a directory"):
        create(make_framework(), home)


@pytest.mark.installs
class TestVersions:
    @pytest.fixture(params=["uv", "pip"])
    def installer(self, request: pytest.FixtureRequest) -> InstallerChoice:
        if request.param == "uv" and find_uv() is None:
            pytest.skip("uv is not here")
        installer: InstallerChoice = request.param
        return installer

    def test_another_version_than_the_locked_one(
        self, make_framework: MakeFramework, home: Path, index: Path, installer: InstallerChoice
    ) -> None:
        """All else stays as locked, though there is something newer; what came out is recorded."""
        for version in ("1.4.0", "1.4.2"):
            write_wheel(index, "toyframework", version, f"__version__ = '{version}'")
        write_wheel(index, "numpy", "2.1.0", "__version__ = '2.1.0'")
        folder = make_framework()
        told = Told()
        made = create_environment(folder, constraint="1.4", home=home, recorder=told, installer=installer)
        assert told.lines[0].startswith(f"toy: installing toyframework==1.4.* with {installer} for Python 3.")
        assert ask(made.python, "import toyframework; print(toyframework.__version__)") == "1.4.2"
        assert find_environment(folder, constraint="==1.4.*", home=home) == made
        (listed,) = list_environments(home)
        pins = listed.requirements.read_text()
        assert {"numpy==2.0.0", "toyframework==1.4.2"} <= set(pins.splitlines())
        assert listed.marker
        assert listed.marker["constraint"] == "==1.4.*"
        assert listed.marker["resolved_sha256"] == hashlib.sha256(pins.encode()).hexdigest()

    def test_a_pin_that_does_not_fit_gives_way(
        self, make_framework: MakeFramework, home: Path, index: Path, installer: InstallerChoice
    ) -> None:
        write_wheel(index, "toyframework", "1.4.0", "__version__ = '1.4.0'", requires=["numpy<2"])
        write_wheel(index, "numpy", "1.26.0", "__version__ = '1.26.0'")
        made = create_environment(make_framework(), constraint="1.4", home=home, recorder=SILENT, installer=installer)
        assert ask(made.python, "import numpy; print(numpy.__version__)") == "1.26.0"

    def test_nothing_satisfies(self, make_framework: MakeFramework, home: Path, installer: InstallerChoice) -> None:
        with pytest.raises(EnvironmentCreationError) as caught:
            create_environment(make_framework(), constraint="1.3", home=home, recorder=SILENT, installer=installer)
        assert str(caught.value).splitlines()[0] == (
            f"toy==1.3.*: installing with {installer} failed: no version that satisfies ==1.3.* is available for this "
            "Python"
        )
        assert list_environments(home) == []

    def test_a_lock_of_that_version_in_the_folder(
        self, make_framework: MakeFramework, home: Path, index: Path, installer: InstallerChoice
    ) -> None:
        for version in ("1.4.0", "1.4.2"):
            write_wheel(index, "toyframework", version, f"__version__ = '{version}'")
        folder = make_framework()
        (folder.path / "requirements-1.4.lock").write_text("numpy==2.0.0\ntoyframework==1.4.0\n")
        made = create_environment(folder, constraint="1.4", home=home, recorder=SILENT, installer=installer)
        assert made.version == "1.4.0"


def test_a_system_library_that_is_missing(make_framework: MakeFramework, home: Path) -> None:
    """All of them are named at once, before anything is downloaded."""
    folder = make_framework(
        more="system_libraries: {libnothere.so.7: apt install libnothere7, libc.so.6: always, libnor.so.1: from ABC}\n"
    )
    assert failure(folder, home) == (
        "toy: this machine lacks libnothere.so.7 (apt install libnothere7), libnor.so.1 (from ABC)"
    )


def test_removing_what_is_not_there(make_framework: MakeFramework, home: Path) -> None:
    with pytest.raises(MlscopeError, match=r"no environment named 'toy' in .*; there is none at all"):
        remove_environment("toy", home)
    path = home / "environments" / f"toy-{'0' * 12}-py3.11-linux-x86_64"
    path.mkdir(parents=True)
    with pytest.raises(MlscopeError, match="did you mean toy"):
        remove_environment("toi", home)
    with pytest.raises(MlscopeError, match=r"no environment named '\.\./environments'"):
        remove_environment("../environments", home)
    assert remove_environment(path.name, home) == [path]


def test_removing_a_link_leaves_what_it_points_to(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / MARKER).write_text(json.dumps({"schema": 1}))
    (home / "environments").mkdir(parents=True)
    link = home / "environments" / f"toy-{'0' * 12}-py3.11-linux-x86_64"
    link.symlink_to(outside)
    remove_environment("toy", home)
    assert not link.is_symlink()
    assert (outside / MARKER).exists()


def test_shims_of_pyenv_are_no_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shim runs whichever version the current folder selects: an environment on it would change with the folder."""
    shims = tmp_path / "shims"
    real = tmp_path / "bin"
    for folder, version in ((shims, "3.98.1"), (real, "3.97.0")):
        folder.mkdir()
        (folder / "python3").write_text(f"#!/bin/sh\necho '[\"{version}\", true]'\n")
        (folder / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{real}")
    found = interpreters.find_interpreter(">=3.90")
    assert found
    assert (found.path, found.version) == (real / "python3", "3.97.0")


def test_the_running_interpreters_neighbours_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyenv may belong to another user than the one whose home this is."""
    neighbour = tmp_path / "versions" / "3.97.0" / "bin"
    neighbour.mkdir(parents=True)
    (neighbour / "python3").write_text("#!/bin/sh\necho '[\"3.97.0\", true]'\n")
    (neighbour / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "versions" / "3.11.7"))
    found = interpreters.find_interpreter(">=3.90")
    assert found
    assert found.path == neighbour / "python3"
