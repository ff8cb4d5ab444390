"""``mlscope env``: framework environments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.cli import lock_debian
from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of, shown_size
from pytest_mlscope.errors import CannotRun, MlscopeError

if TYPE_CHECKING:
    from pytest_mlscope.components.framework import FrameworkFolder

_CREATE = """\
NAME is a framework of ./frameworks, of an installed package, or shipped: see `mlscope env list`.
The packages are those of the framework's requirements.lock. Package indexes are those that pip is configured for."""
_LIST = """\
status is one of
  current interpreter X   installed beside pytest, in version X
  ready                   an environment is there
  can be made             with `mlscope env create NAME`
  cannot: REASON          not on this machine, and why
  not used any more       made from an older lock, or of a framework that is not here; `mlscope env remove` frees it"""
_REMOVE = """\
NAME is a framework, for all its environments, or the name of one environment's folder."""


def add_to(commands: Commands) -> None:
    """Add ``env`` and its subcommands."""
    parser = add_command(commands, "env", "make, list and remove framework environments", None)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = add_command(actions, "create", "make the environment of one or more frameworks", _create, _CREATE)
    create.add_argument("names", nargs="+", metavar="NAME", help="a framework")
    add_home(create)
    create.add_argument("--force", action="store_true", help="make it anew where there is one")
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
    from pytest_mlscope.agent.environment_creation import create_environment
    from pytest_mlscope.agent.environment_verification import verify_environment
    from pytest_mlscope.cli.framework_choice import choose_frameworks

    failed = False
    for folder in choose_frameworks(options.names, Path.cwd()):
        try:
            create_environment(
                folder,
                home=home_of(options),
                progress=lambda line: print(line, flush=True),
                verify=verify_environment,
                force=options.force,
                installer=options.installer,
            )
        except MlscopeError as error:
            print(f"mlscope: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _remove(options: argparse.Namespace) -> int:
    from pytest_mlscope.agent.provisioned_environment import remove_environment

    failed = False
    for name in dict.fromkeys(options.names):
        try:
            for path in remove_environment(name, home_of(options)):
                print(f"removed {path}")
        except MlscopeError as error:
            print(f"mlscope: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _status(folder: FrameworkFolder, home: Path) -> str:
    from pytest_mlscope.agent.environment_search import find_environment
    from pytest_mlscope.agent.interpreters import find_interpreter, how_to_get

    try:
        environment = find_environment(folder, home=home)
    except CannotRun as missing:
        if missing.command is None or not folder.lock.is_file():
            return f"cannot: {missing}"
        python = folder.description.python
        if find_interpreter(python) is None:
            return f"cannot: no Python {python} here; get one with: {how_to_get(python)}"
        return "can be made"
    if environment.kind == "current":
        return f"current interpreter {environment.version}".rstrip()
    return "ready"


def _list(options: argparse.Namespace) -> int:
    from pytest_mlscope.agent.lock_file import locked_version
    from pytest_mlscope.agent.provisioned_environment import environments_for, list_environments
    from pytest_mlscope.cli.framework_choice import known_frameworks
    from pytest_mlscope.cli.table import aligned

    home = home_of(options)
    frameworks, malformed = known_frameworks(Path.cwd())
    rows = []
    used: set[Path] = set()
    for name, folder in frameworks.items():
        environments = environments_for(folder, home)
        used.update(environment.path for environment in environments)
        size = shown_size(sum(environment.size() for environment in environments)) if environments else "-"
        rows.append([name, locked_version(folder) or "-", size, _status(folder, home)])
    for environment in list_environments(home):
        if environment.path not in used:
            version = (environment.marker or {}).get("version") or "-"
            status = f"not used any more: {environment.path.name}"
            rows.append([environment.framework, str(version), shown_size(environment.size()), status])
    print(aligned(["framework", "locked", "size", "status"], rows))
    for error in malformed.values():
        print(f"mlscope: error: {error}", file=sys.stderr)
    return 1 if malformed else 0
