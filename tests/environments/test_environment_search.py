"""Which interpreter a framework runs in, and what is said when there is none."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

import pytest

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.provisioned import MARKER
from pytest_mlscope.environments.recipe import environment_recipe
from pytest_mlscope.environments.search import find_environment
from pytest_mlscope.errors import CannotRun, MlscopeError
from pytest_mlscope.manifest.versions import normalised
from tests.environments.toy_framework import MakeFramework

PYTEST_VERSION = importlib.metadata.version("pytest")
SERIES = ".".join(platform.python_version_tuple()[:2])


def pretend_environment(
    folder: FrameworkFolder, home: Path, version: str = "1.5.0", constraint: str | None = None
) -> Path:
    """What a finished creation leaves, as far as searching looks at it."""
    path = home / "environments" / environment_recipe(folder, constraint=constraint).key(platform.python_version())
    information = path / "lib" / f"python{SERIES}" / "site-packages" / f"toyframework-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toyframework\nVersion: {version}\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / MARKER).write_text('{"schema": 1}')
    return path


def reason(folder: FrameworkFolder, home: Path, constraint: str | None = None) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        find_environment(folder, constraint=constraint, home=home)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_current_interpreter_comes_first(make_framework: MakeFramework, home: Path) -> None:
    """A distribution installed beside pytest wins over a provisioned environment that would fit too."""
    folder = make_framework(distributions="[no-such-distribution, pytest]")
    pretend_environment(folder, home)
    environment = find_environment(folder, constraint=">=1", home=home)
    assert (environment.kind, environment.version, environment.python) == (
        "current",
        PYTEST_VERSION,
        Path(sys.executable),
    )
    assert environment.lock_hash is None


def test_a_framework_without_distributions_runs_in_the_current_interpreter(
    make_framework: MakeFramework, home: Path
) -> None:
    """Its version is its predictor's to say, so it is empty here and no constraint is applied to it."""
    environment = find_environment(make_framework(distributions="[]", version=">=5"), constraint=">=9", home=home)
    assert (environment.kind, environment.version) == ("current", "")


def test_searching_imports_no_framework(
    make_framework: MakeFramework, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    find_environment(make_framework(distributions="[onnxruntime]"), home=home)
    assert "onnxruntime" not in sys.modules


def test_a_provisioned_environment_is_used(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework()
    path = pretend_environment(folder, home)
    environment = find_environment(folder, constraint="<2", home=home)
    assert (environment.kind, environment.version) == ("provisioned", "1.5.0")
    assert environment.python == path / "bin" / "python"
    assert environment.lock_hash == environment_recipe(folder).hash


def test_an_installed_version_that_does_not_satisfy_gives_way_to_a_provisioned_one(
    make_framework: MakeFramework, home: Path
) -> None:
    folder = make_framework(distributions="[pytest, toyframework]")
    pretend_environment(folder, home)
    assert find_environment(folder, constraint="<2", home=home).kind == "provisioned"


def test_not_installed(make_framework: MakeFramework, home: Path) -> None:
    """The reason comes with the command that helps."""
    error = reason(make_framework(), home)
    assert error.reason == "toy: toyframework is not installed here"
    assert error.command == "mlscope env create toy"


def test_installed_in_another_version(make_framework: MakeFramework, home: Path) -> None:
    error = reason(make_framework(distributions="[pytest]", lock="pytest==7.4.0\n"), home, "<8")
    assert error.reason == f"toy: pytest {PYTEST_VERSION}, installed here, does not satisfy '<8', the version asked for"
    assert error.command == "mlscope env create toy"


class TestVersions:
    def test_what_no_lock_satisfies_can_be_made(self, make_framework: MakeFramework, home: Path) -> None:
        error = reason(make_framework(distributions="[pytest]", lock="pytest==7.4.0\n"), home, "<7")
        assert error.command == "mlscope env create 'toy<7'"
        assert reason(make_framework(name="other"), home, "1.4").command == "mlscope env create 'other==1.4.*'"

    def test_each_constraint_has_an_environment_of_its_own(self, make_framework: MakeFramework, home: Path) -> None:
        folder = make_framework()
        default = pretend_environment(folder, home)
        older = pretend_environment(folder, home, "1.4.2", "==1.4.*")
        assert find_environment(folder, home=home).python == default / "bin" / "python"
        assert find_environment(folder, constraint="1.4", home=home).python == older / "bin" / "python"
        assert find_environment(folder, constraint="1.5", home=home).python == default / "bin" / "python"
        assert reason(folder, home, "1.3").command == "mlscope env create 'toy==1.3.*'"

    def test_a_lock_of_the_folder_that_satisfies_is_used_as_it_is(
        self, make_framework: MakeFramework, home: Path
    ) -> None:
        folder = make_framework()
        (folder.path / "requirements-1.4.lock").write_text("numpy==2.0.0\ntoyframework==1.4.9\n")
        recipe = environment_recipe(folder, constraint="1.4")
        assert (recipe.requirements, recipe.constraint) == (folder.path / "requirements-1.4.lock", None)
        assert environment_recipe(folder, constraint="<1.4").constraint == "<1.4"

    def test_a_constraint_that_framework_yml_leaves_nothing_of(self, make_framework: MakeFramework, home: Path) -> None:
        """Suggesting to make an environment that would be refused again would send the user in circles."""
        error = reason(make_framework(version=">=1.5,<2"), home, "==2.1.*")
        assert error.reason.endswith("; the predictor takes '>=1.5,<2' (framework.yml), and none of these is '==2.1.*'")
        assert error.command is None

    def test_a_constraint_that_is_none(self, make_framework: MakeFramework, home: Path) -> None:
        with pytest.raises(MlscopeError, match="'new' is neither a version nor a constraint such as"):
            find_environment(make_framework(), constraint="new", home=home)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1.20", "==1.20.*"),
        (" 1.20.1 ", "==1.20.1.*"),
        ("==1.20.1", "==1.20.1"),
        (">=1, <2", "<2,>=1"),
        ("2.0rc1", "==2.0rc1"),
        ("2.13+cpu", "==2.13+cpu"),
        ("*", None),
        (None, None),
    ],
)
def test_what_a_version_means(text: str | None, normal: str | None) -> None:
    """A bare release is any version that begins so, and normalising twice changes nothing."""
    assert normalised(text) == normal
    assert normalised(normal) == normal


def test_python_does_not_fit(make_framework: MakeFramework, home: Path) -> None:
    error = reason(make_framework(distributions="[pytest]", python="<3.7"), home)
    assert error.reason.startswith(f"toy: Python {platform.python_version()} here does not satisfy '<3.7'")


def test_no_lock(make_framework: MakeFramework, home: Path) -> None:
    """Without a lock nothing can be made, so the advice is to install the framework beside pytest."""
    error = reason(make_framework(lock=None, version=">=1"), home, "<2")
    assert "no requirements.lock" in error.reason
    assert error.command == "pip install 'toyframework>=1,<2'"


def test_half_made(make_framework: MakeFramework, home: Path) -> None:
    """A folder without its marker does not count, however complete it looks."""
    folder = make_framework()
    path = pretend_environment(folder, home)
    (path / MARKER).unlink()
    assert reason(folder, home).reason.endswith(f"the environment {path} is half-made")


@pytest.mark.parametrize(
    ("lost", "told"), [("bin/python", "has lost its Python"), ("toyframework", "has lost toyframework")]
)
def test_vanished(make_framework: MakeFramework, home: Path, lost: str, told: str) -> None:
    """The base interpreter may be upgraded away, and cleaners of cache folders delete files by age."""
    folder = make_framework()
    path = pretend_environment(folder, home)
    (path / "bin" / "python").unlink() if lost == "bin/python" else next(path.rglob("METADATA")).unlink()
    error = reason(folder, home)
    assert error.reason.endswith(f"the environment {path} {told}")
    assert error.command == "mlscope env create toy"


def test_an_environment_of_another_lock_does_not_count(make_framework: MakeFramework, home: Path) -> None:
    folder = make_framework()
    pretend_environment(folder, home)
    folder.lock.write_text("numpy==2.0.0\ntoyframework==1.6.0\n")
    assert reason(FrameworkFolder(folder.path), home).reason == "toy: toyframework is not installed here"


def test_a_local_version_satisfies_its_public_one(make_framework: MakeFramework, home: Path) -> None:
    """PyTorch's builds are ``2.13.0+cpu``, which PEP 440 counts as 2.13.0."""
    folder = make_framework(version=">=2.13,<2.14", lock="numpy==2.0.0\ntoyframework==2.13.0\n")
    pretend_environment(folder, home, "2.13.0+cpu")
    assert find_environment(folder, constraint="==2.13.0", home=home).version == "2.13.0+cpu"
