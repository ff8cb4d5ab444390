"""``mlscope suite``: model suites."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mlscope.cli.parsers import Commands, add_command
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


def _list(_: argparse.Namespace) -> int:
    from pytest_mlscope.api import suites_here
    from pytest_mlscope.cli.table import aligned

    rows = [[each.name, str(each.manifests), str(each.folder)] for each in suites_here(Path.cwd()).values()]
    print(aligned(["suite", "manifests", "folder"], rows))
    return 0


def _path(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import suite_folder

    print(suite_folder(options.name, Path.cwd()))
    return 0


def _copy(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import copy_suite

    copy_suite(options.name, options.destination, Path.cwd())
    print(options.destination)
    return 0
