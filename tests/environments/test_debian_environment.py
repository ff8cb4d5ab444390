"""Environments with Debian packages, really made: of tiny packages whose Python is the one that runs the tests."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.creation import create_environment
from pytest_mlscope.environments.debian.root import python_series
from pytest_mlscope.environments.environment import Environment
from pytest_mlscope.environments.foreign_installer import foreign_installer, wheel_platforms
from pytest_mlscope.environments.package_installer import Uv
from pytest_mlscope.environments.provisioned import list_environments
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.environments.state import framework_state
from pytest_mlscope.errors import CannotRun, EnvironmentCreationError, FrameworkError
from pytest_mlscope.hosts.process import _environment_variables
from pytest_mlscope.recorder import SILENT
from tests.environments.toy_debian import ToyArchive
from tests.environments.toy_framework import MakeFramework

SERIES = ".".join(platform.python_version_tuple()[:2])
MACHINE = platform.machine()

pytestmark = pytest.mark.usefixtures("index")


@pytest.fixture
def archive(tmp_path: Path) -> ToyArchive:
    return ToyArchive(tmp_path / "archive")


def create(folder: FrameworkFolder, home: Path) -> Environment:
    return create_environment(folder, home=home, recorder=SILENT)


def failure(folder: FrameworkFolder, home: Path) -> str:
    with pytest.raises((EnvironmentCreationError, FrameworkError)) as caught:
        create(folder, home)
    assert list_environments(home) == []
    return str(caught.value)


class TestItsOwnPython:
    @pytest.fixture
    def folder(self, archive: ToyArchive, make_framework: MakeFramework) -> FrameworkFolder:
        folder = make_framework(
            distributions="[]",
            lock=None,
            more=f"environment: {{interpreter: usr/bin/python{SERIES}, library_path: [usr/lib/blas]}}\n",
        )
        archive.add_python(SERIES)
        archive.add("blas", {"usr/lib/blas/libblas.so.3": "b"})
        archive.write_lock(folder.path / f"debian-{MACHINE}.lock")
        return folder

    def test_made_found_and_moved(self, folder: FrameworkFolder, home: Path) -> None:
        """An environment of Debian packages is complete once made, and its script finds them from where it stands."""
        made = create(folder, home)
        assert (made.kind, made.version, made.library_path) == ("provisioned", "", ())
        assert find_environment(folder, home=home) == made
        marker = list_environments(home)[0].marker
        assert marker
        assert marker["debian_packages"] == {
            "libc6": "2.31-13",
            f"python{SERIES}-minimal": f"{SERIES}.2-1",
            "blas": "1.0-1",
        }
        assert (marker["python"], marker["installer"]) == (platform.python_version(), "debian")
        state = framework_state(folder, home)
        assert (state.status, state.python) == ("ready", platform.python_version())

        moved = home / "with a space"
        made.python.parents[1].rename(moved)
        done = subprocess.run(
            [moved / "bin/python", "-c", "import sys; print(sys.argv[1:])", "a b", "$c"], capture_output=True, text=True
        )
        assert (done.stdout, done.stderr) == ("['a b', '$c']\n", "")

    def test_what_the_loader_is_told(self, folder: FrameworkFolder, home: Path) -> None:
        """The packages' own loader takes the folders of framework.yml first, and never the machine's cache."""
        made = create(folder, home)
        root = made.python.parents[1] / "debian"
        (root / "usr/lib64/ld-linux-x86-64.so.2").write_text('#!/bin/sh\nfor each; do echo "$each"; done\n')
        done = subprocess.run([made.python, "-V"], capture_output=True, text=True, check=True)
        folders = ":".join(f"{root}/{name}" for name in ("usr/lib/blas", "usr/lib/x86_64-linux-gnu", "usr/lib"))
        assert done.stdout.splitlines() == [
            "--inhibit-cache",
            "--library-path",
            folders,
            f"{root}/usr/bin/python{SERIES}",
            "-V",
        ]

    def test_the_current_interpreter_is_not_it(self, folder: FrameworkFolder, home: Path) -> None:
        """Though the framework has no distribution, so that nothing could be missing here."""
        with pytest.raises(CannotRun) as caught:
            find_environment(folder, home=home)
        assert str(caught.value) == (
            f"toy: it runs in the Python of its own Debian packages, usr/bin/python{SERIES}; "
            "to enable: mlscope env create toy"
        )
        assert framework_state(folder, home).status == "can be made"

    def test_another_lock_is_another_environment(
        self, folder: FrameworkFolder, home: Path, archive: ToyArchive
    ) -> None:
        create(folder, home)
        archive.write_lock(folder.path / f"debian-{MACHINE}.lock", comments=["changed"])
        with pytest.raises(CannotRun):
            find_environment(FrameworkFolder(folder.path), home=home)

    def test_a_python_that_does_not_fit(self, archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
        folder = make_framework(
            distributions="[]", lock=None, python="<3.9", more="environment: {interpreter: usr/bin/python3.9}\n"
        )
        archive.add_python("3.9")
        path = folder.path / f"debian-{MACHINE}.lock"
        archive.write_lock(path)
        assert failure(folder, home) == f"toy: {path} has Python 3.9.2-1, and framework.yml wants '<3.9'"
        with pytest.raises(CannotRun, match=r"has Python 3\.9\.2-1"):
            find_environment(folder, home=home)

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            (
                "usr/lib/blas",
                "usr/lib/atlas",
                "environment.library_path: 'usr/lib/atlas' is in none of the Debian packages",
            ),
            ("usr/lib/blas", "../../..", "environment.library_path: '../../..' leads out of the Debian packages"),
            (f"usr/bin/python{SERIES}", "usr/bin/python2.7", "environment.interpreter: 'usr/bin/python2.7' is in none"),
            (f"usr/bin/python{SERIES}", "usr/bin/python", "environment.interpreter 'usr/bin/python' does not end in"),
        ],
    )
    def test_what_is_wrong_is_named(self, folder: FrameworkFolder, home: Path, old: str, new: str, told: str) -> None:
        folder.source.write_text(folder.source.read_text().replace(old, new))
        assert failure(FrameworkFolder(folder.path), home).startswith(told)

    def test_no_lock_for_this_architecture(self, folder: FrameworkFolder, home: Path) -> None:
        (folder.path / f"debian-{MACHINE}.lock").rename(folder.path / "debian-vax.lock")
        assert failure(folder, home) == (
            f"toy: its folder has no debian-{MACHINE}.lock, so there is no environment for {MACHINE}"
        )

    def test_a_package_that_was_changed(self, folder: FrameworkFolder, home: Path, archive: ToyArchive) -> None:
        path = archive.folder / archive.packages[-1].path
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        assert failure(folder, home).endswith("has another sha256")


class TestBesideAVirtualEnvironment:
    def make(self, archive: ToyArchive, make_framework: MakeFramework, environment: str) -> FrameworkFolder:
        folder = make_framework(more=f"environment: {{{environment}}}\n")
        archive.add("mpi", {"usr/lib/mpi/libmpi.so.40": "mpi", "usr/lib/other/libc.so.6": "another C library"})
        archive.write_lock(folder.path / f"debian-{MACHINE}.lock")
        return folder

    def test_libraries_and_links(self, archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
        """With a Python of this machine, the packages give libraries and links alone."""
        folder = self.make(
            archive,
            make_framework,
            "library_path: [usr/lib/mpi], links: {toy/libs/libmpi.so.12: usr/lib/mpi/libmpi.so.40}",
        )
        made = create(folder, home)
        root = made.python.parents[1] / "debian"
        assert made.library_path == (root / "usr/lib/mpi",)
        assert _environment_variables(made, None)["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(root / "usr/lib/mpi")
        (link,) = list_environments(home)[0].site_packages.glob("toy/libs/*")
        assert link.read_text() == "mpi"
        assert not link.readlink().is_absolute()
        assert find_environment(folder, home=home) == made

    @pytest.mark.parametrize(
        ("environment", "told"),
        [
            (
                "library_path: [usr/lib/other]",
                "environment.library_path: 'usr/lib/other' holds libc.so.6, which this machine's Python cannot take "
                "from elsewhere; make the Debian lock with --exclude libc6, or use environment.links",
            ),
            ("links: {a: usr/lib/b}", "environment.links: 'usr/lib/b' is in none of the Debian packages"),
            ("links: {../a: usr/lib/mpi}", "environment.links: '../a' leads out of site-packages"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, archive: ToyArchive, make_framework: MakeFramework, home: Path, environment: str, told: str
    ) -> None:
        assert failure(self.make(archive, make_framework, environment), home) == told

    def test_a_link_in_place_of_a_file(self, archive: ToyArchive, make_framework: MakeFramework, home: Path) -> None:
        folder = self.make(archive, make_framework, "links: {toyframework.py: usr/lib/mpi/libmpi.so.40}")
        assert failure(folder, home).endswith("site-packages/toyframework.py is there already")


class TestAnotherArchitecture:
    @pytest.fixture
    def folder(self, archive: ToyArchive, make_framework: MakeFramework) -> FrameworkFolder:
        folder = make_framework()
        archive.add_python(SERIES)
        archive.write_lock(folder.path / "debian-toyarch.lock")
        return folder

    def test_without_packages_for_it(self, make_framework: MakeFramework, home: Path) -> None:
        """Both reasons are given: the machine is another, and the folder has no lock for that architecture."""
        with pytest.raises(CannotRun) as caught:
            find_environment(make_framework(), architecture="vax", home=home)
        assert str(caught.value) == (
            f"toy: this machine is {MACHINE}, not vax; its folder has no debian-vax.lock, so there is no environment "
            "for vax"
        )

    @pytest.mark.slow
    def test_made_and_found_under_an_emulator(
        self, folder: FrameworkFolder, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wheels come for the packages' Python; the emulator is in front of the loader; this machine's is another."""
        emulator = tmp_path / "emulate it"
        emulator.write_text('#!/bin/sh\n[ "$1" = -x ] || exit 98\nshift\nEMULATED=yes exec "$@"\n')
        emulator.chmod(0o755)
        monkeypatch.setattr("pytest_mlscope.environments.foreign_installer._OLDEST_GLIBC", {"toyarch": 17})
        made = create_environment(
            folder, architecture="toyarch", emulator=[str(emulator), "-x"], home=home, recorder=SILENT
        )
        assert made.version == "1.5.0"
        assert made.python.parents[1].name.endswith(f"-py{SERIES}-linux-toyarch")
        assert find_environment(folder, architecture="toyarch", home=home) == made
        code = "import os; print(os.environ['EMULATED'])"
        assert subprocess.run([made.python, "-c", code], capture_output=True, text=True).stdout == "yes\n"
        with pytest.raises(CannotRun, match="toyframework is not installed here"):
            find_environment(folder, home=home)

    def test_a_lock_without_a_python(self, make_framework: MakeFramework, archive: ToyArchive, home: Path) -> None:
        folder = make_framework()
        archive.add("app", {})
        archive.write_lock(folder.path / "debian-toyarch.lock")
        with pytest.raises(EnvironmentCreationError, match="has no Python, which a foreign architecture needs"):
            create_environment(folder, architecture="toyarch", home=home, recorder=SILENT)


def test_which_wheels_run_there() -> None:
    """The newest tag first, down to the oldest glibc of the architecture, with the older names of three of them."""
    tags = wheel_platforms("x86_64", "2.31-13+deb11u11")
    assert tags[0] == "manylinux_2_31_x86_64"
    assert tags[-3:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    assert {"manylinux2010_x86_64", "manylinux2014_x86_64"} <= set(tags)
    assert wheel_platforms("aarch64", "2.17")[:2] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    with pytest.raises(EnvironmentCreationError, match=r"no wheels for vax with glibc 2\.31"):
        wheel_platforms("vax", "2.31")


def test_uv_alone_does_not_serve_the_oldest_glibc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv's oldest platform is glibc 2.17; wheels for older ones exist, and pip takes their tags."""
    monkeypatch.setattr("pytest_mlscope.environments.foreign_installer.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("pytest_mlscope.environments.foreign_installer.find_uv", lambda: Uv(["uv"]))
    installer = foreign_installer(series="3.9", architecture="x86_64", glibc="2.31-13", folder=tmp_path)
    assert "x86_64-manylinux_2_31" in installer.install(tmp_path, tmp_path / "requirements.lock")
    with pytest.raises(
        EnvironmentCreationError, match=r"wheels for Python 3\.9 on x86_64 with glibc 2\.13-38 take pip"
    ):
        foreign_installer(series="3.9", architecture="x86_64", glibc="2.13-38", folder=tmp_path)


def test_the_series_of_an_interpreter() -> None:
    assert python_series("usr/bin/python3.10") == "3.10"
    with pytest.raises(FrameworkError, match=r"write such as usr/bin/python3\.9"):
        python_series("usr/bin/python3")
