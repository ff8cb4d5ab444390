"""A creation that dies at any moment leaves nothing that passes for an environment, and the next one works."""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.package_installer import find_uv
from pytest_mlscope.environments.provisioned import list_environments
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.errors import CannotRun
from tests.environments.toy_debian import ToyArchive
from tests.environments.toy_framework import MakeFramework

SERIES = ".".join(platform.python_version_tuple()[:2])
QUICK = "uv" if find_uv() else "pip"
KILLS = 10

pytestmark = [pytest.mark.usefixtures("index"), pytest.mark.installs]

CREATING = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from pytest_mlscope.environments.creation import create_environment
    from pytest_mlscope.components.framework import FrameworkFolder
    from pytest_mlscope.errors import MlscopeError
    from pytest_mlscope.recorder import ConsoleRecorder

    folder, home, installer = sys.argv[1:]
    print("begin", flush=True)
    try:
        recorder = ConsoleRecorder(sys.stdout)
        create_environment(FrameworkFolder(Path(folder)), home=Path(home), recorder=recorder, installer=installer)
    except MlscopeError as error:
        sys.exit(str(error))
    """
)


def creating(folder: FrameworkFolder, home: Path, *, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """A creation in a process group of its own, which has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", CREATING, str(folder.path), str(home), QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before,
    )
    assert process.stdout
    assert process.stdout.readline() == "begin\n"
    return process


def kill(process: subprocess.Popen[str], *, descendants: bool) -> None:
    """The whole process group at once; and what runs in groups of its own, as after a power failure."""
    others = psutil.Process(process.pid).children(recursive=True) if descendants and process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for other in others:
        with suppress(psutil.NoSuchProcess):
            other.kill()
    process.communicate(timeout=60)


def is_whole(folder: FrameworkFolder, home: Path) -> bool:
    """Whether an environment is found; one that is must run."""
    try:
        environment = find_environment(folder, home=home)
    except CannotRun:
        return False
    subprocess.run([environment.python, "-c", "import numpy"], check=True)
    return True


def killed_ten_times_then_made(folder: FrameworkFolder, home: Path) -> None:
    began = time.monotonic()
    whole = creating(folder, home / "measured")
    _, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    seconds = time.monotonic() - began

    moment = random.Random(20_261_101)
    unfinished = 0
    for number in range(KILLS):
        process = creating(folder, home)
        time.sleep(moment.uniform(0, seconds))
        kill(process, descendants=number % 2 == 0)
        unfinished += not is_whole(folder, home)
        # One that was ready before the kill is of no further use here.
        for environment in list_environments(home):
            (environment.path / "mlscope-environment.json").unlink(missing_ok=True)
    assert unfinished, "every creation was faster than its kill"

    last = creating(folder, home)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert is_whole(folder, home)


def debian_framework(archive: ToyArchive, make_framework: MakeFramework) -> FrameworkFolder:
    """Of many files, so that most of its creation is unpacking."""
    folder = make_framework(
        distributions="[]", lock=None, more=f"environment: {{interpreter: usr/bin/python{SERIES}}}\n"
    )
    archive.add_python(SERIES)
    for number in range(8):
        archive.add(f"data{number}", {f"usr/share/data{number}/{file}": os.urandom(2000) for file in range(100)})
    archive.write_lock(folder.path / f"debian-{platform.machine()}.lock")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> ToyArchive:
    return ToyArchive(tmp_path / "archive")


def test_killed_while_installing(make_framework: MakeFramework, home: Path) -> None:
    """Killed ten times at random moments, a creation never leaves what looks complete, and the next one succeeds."""
    killed_ten_times_then_made(make_framework(), home)


def test_killed_while_unpacking(archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
    """Likewise with Debian packages, of which every file is there in the end."""
    folder = debian_framework(archive, make_framework)
    killed_ten_times_then_made(folder, home)
    (made,) = list_environments(home)
    assert len(list((made.path / "debian/usr/share").rglob("*"))) == 8 * 101


def test_two_at_once_unpack_once(archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
    folder = debian_framework(archive, make_framework)
    outputs = []
    for process in [creating(folder, home) for _ in range(2)]:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append("unpacking" in output)
    assert sorted(outputs) == [False, True]
    assert is_whole(folder, home)


def small_files_only() -> None:
    """No file beyond 40 kB, as a quota would have it; the signal would else come before the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def test_a_disk_that_takes_no_more(archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
    """One line says why, nothing looks complete, and with room again it is made."""
    folder = debian_framework(archive, make_framework)
    process = creating(folder, home, before=small_files_only)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.endswith(".part: cannot be written: File too large")
    assert [environment.marker for environment in list_environments(home)] == []
    process = creating(folder, home)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads((list_environments(home)[0].path / "mlscope-environment.json").read_text())
