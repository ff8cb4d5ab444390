"""``mlscope suite``: model suites."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mlscope.cli.parsers import Commands, add_command, unknown
from pytest_mlscope.errors import MlscopeError, WrongUse
from pytest_mlscope.option_values import user_path

_WHERE = (
    "Suites are those of ./model_suites, of installed packages, and the shipped ones; of two with one name, the first."
)


def add_to(commands: Commands) -> None:
    """Add ``suite`` and its subcommands."""
    parser = add_command(commands, "suite", "list and copy model suites", None, _WHERE)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(actions, "list", "show the suites, how many manifests each has, and where it is", _list, _WHERE)
    path = add_command(
        actions, "path", "print a suite's folder", _path, 'As in: pytest --mlscope "$(mlscope suite path digits)"'
    )
    path.add_argument("name", metavar="NAME", help="a suite")
    copy = add_command(actions, "copy", "copy a suite, to change it", _copy)
    copy.add_argument("name", metavar="NAME", help="a suite")
    copy.add_argument(
        "destination", metavar="DEST", type=user_path, help="the folder to make, such as model_suites/NAME"
    )


def _manifests(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.mlscope.yml"))


def _suites() -> dict[str, Path]:
    from pytest_mlscope.assets import search_path

    suites: dict[str, Path] = {}
    for root in search_path("model_suites", project=Path.cwd()):
        for folder in sorted(root.iterdir()):
            if folder.is_dir() and _manifests(folder):
                suites.setdefault(folder.name, folder)
    return dict(sorted(suites.items()))


def _suite(name: str) -> Path:
    suites = _suites()
    if name not in suites:
        raise WrongUse(unknown("suite", name, suites))
    return suites[name]


def _list(_: argparse.Namespace) -> int:
    from pytest_mlscope.cli.table import aligned

    rows = [[name, str(_manifests(folder)), str(folder)] for name, folder in _suites().items()]
    print(aligned(["suite", "manifests", "folder"], rows))
    return 0


def _path(options: argparse.Namespace) -> int:
    print(_suite(options.name))
    return 0


def _copy(options: argparse.Namespace) -> int:
    import shutil

    source, destination = _suite(options.name), options.destination
    # exists() does not see a link that leads nowhere.
    if destination.exists() or destination.is_symlink():
        raise WrongUse(f"{destination}: is there already; name a folder that is not")
    if destination.resolve().is_relative_to(source.resolve()):
        raise WrongUse(f"{destination}: is inside {source}, which would be copied into itself; name another folder")
    try:
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    except (OSError, shutil.Error) as error:
        raise MlscopeError(f"{destination}: cannot be written: {' '.join(str(error).split())}") from None
    print(destination)
    return 0
