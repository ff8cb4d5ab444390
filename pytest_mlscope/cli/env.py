"""``mlscope env``: framework environments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.cli import lock_debian
from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of, shown_size
from pytest_mlscope.errors import MlscopeError

if TYPE_CHECKING:
    from pytest_mlscope.api import EnvironmentEntry

_CREATE = """\
NAME is a framework of ./frameworks, of an installed package, or shipped: see `mlscope env list`. With a
version, such as onnxruntime==1.20.* or 'onnxruntime>=1.20,<1.22', the command makes a separate environment.
The packages are those that the framework's folder pins. Package indexes are those that pip is configured for."""
_LIST = """\
status is one of
  current interpreter   installed beside pytest
  ready                 an environment is there
  can be made           with `mlscope env create NAME`
  cannot: REASON        not on this machine, and why
  half-made             its creation was interrupted; `mlscope env create` makes it again, `mlscope env remove` frees it
  not used any more     made from an older lock, or of a framework that is not here; `mlscope env remove` frees it
version and python are those of what is there, or would be."""
_REMOVE = """\
NAME is a framework, for all its environments, or the name of one environment's folder."""


def add_to(commands: Commands) -> None:
    """Add ``env`` and its subcommands."""
    parser = add_command(commands, "env", "make, list and remove framework environments", None)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = add_command(actions, "create", "make the environment of one or more frameworks", _create, _CREATE)
    create.add_argument("names", nargs="+", metavar="NAME", help="a framework, or one version of it")
    add_home(create)
    create.add_argument("--force", action="store_true", help="replace the environment if it exists")
    create.add_argument(
        "--installer",
        choices=("auto", "uv", "pip"),
        default="auto",
        help="what installs: auto (the default) is uv where there is one, else venv and pip",
    )

    listing = add_command(actions, "list", "show the frameworks and what they run in", _list, _LIST)
    add_home(listing)

    lock_debian.add_to(actions)

    remove = add_command(actions, "remove", "remove environments", _remove, _REMOVE)
    remove.add_argument("names", nargs="+", metavar="NAME", help="a framework, or an environment's folder name")
    add_home(remove)


def _create(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import make_environments
    from pytest_mlscope.recorder import ConsoleRecorder

    made = make_environments(
        options.names,
        project=Path.cwd(),
        home=home_of(options),
        force=options.force,
        installer=options.installer,
        recorder=ConsoleRecorder(sys.stdout),
    )
    return _failures(each.error for each in made)


def _failures(errors: Iterable[MlscopeError | None]) -> int:
    """The exit status; each error is printed as it comes."""
    failed = False
    for error in errors:
        if error is not None:
            print(f"mlscope: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _remove(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import remove_environments

    def removed() -> Iterator[MlscopeError | None]:
        for each in remove_environments(options.names, home_of(options)):
            for path in each.paths:
                print(f"removed {path}")
            yield each.error

    return _failures(removed())


def _status(entry: EnvironmentEntry) -> str:
    if entry.status == "current":
        return "current interpreter"
    if entry.status == "cannot":
        return f"cannot: {entry.reason}"
    if entry.status == "not used any more" and entry.folder is not None:
        return f"not used any more: {entry.folder.name}"
    wanted = f" for {entry.constraint}" if entry.constraint else ""
    where = f" on {entry.architecture}" if entry.architecture else ""
    return f"{entry.status}{wanted}{where}" if entry.status == "ready" else entry.status


def _list(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import environments_here
    from pytest_mlscope.cli.folding import terminal_width
    from pytest_mlscope.cli.table import aligned

    there = environments_here(Path.cwd(), home_of(options))
    rows = [
        [
            entry.framework,
            entry.version or "-",
            entry.python or "-",
            "-" if entry.size is None else shown_size(entry.size),
            _status(entry),
        ]
        for entry in there.entries
    ]
    print(aligned(["framework", "version", "python", "size", "status"], rows, width=terminal_width()))
    return _failures(there.malformed.values())
