"""``mlscope env``: framework environments."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.cli import lock_debian
from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of, shown_size
from pytest_mlscope.errors import MlscopeError

if TYPE_CHECKING:
    from pytest_mlscope.environments import ProvisionedEnvironment

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
    from pytest_mlscope.api import self_test
    from pytest_mlscope.cli.framework_choice import choose_frameworks
    from pytest_mlscope.environments import create_environment
    from pytest_mlscope.recorder import ConsoleRecorder

    recorder = ConsoleRecorder(sys.stdout)
    failed = False
    home = home_of(options)
    verify = partial(self_test, project=Path.cwd(), home=home, recorder=recorder)
    for folder, constraint in choose_frameworks(options.names, Path.cwd()):
        try:
            create_environment(
                folder,
                constraint=constraint,
                home=home,
                recorder=recorder,
                verify=verify,
                force=options.force,
                installer=options.installer,
            )
        except MlscopeError as error:
            print(f"mlscope: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _remove(options: argparse.Namespace) -> int:
    from pytest_mlscope.environments import remove_environment

    failed = False
    for name in dict.fromkeys(options.names):
        try:
            for path in remove_environment(name, home_of(options)):
                print(f"removed {path}")
        except MlscopeError as error:
            print(f"mlscope: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _own_row(environment: ProvisionedEnvironment, status: str) -> list[str]:
    """An environment that is not what its framework runs in by default."""
    marker = environment.marker or {}
    version, python = str(marker.get("version") or "-"), str(marker.get("python") or environment.python_series)
    return [environment.framework, version, python, shown_size(environment.size()), status]


def _further(environment: ProvisionedEnvironment) -> str:
    """The status of a further environment that is of use."""
    from pytest_mlscope.machine import machine_architecture

    if environment.marker is None:
        return "half-made"
    architecture = environment.marker.get("architecture", machine_architecture())
    wanted = environment.marker.get("constraint")
    where = f" on {architecture}" if architecture != machine_architecture() else ""
    return f"ready{f' for {wanted}' if wanted else ''}{where}"


def _list(options: argparse.Namespace) -> int:
    from pytest_mlscope.cli.folding import terminal_width
    from pytest_mlscope.cli.framework_choice import known_frameworks
    from pytest_mlscope.cli.table import aligned
    from pytest_mlscope.environments import environments_of, framework_state, list_environments

    home = home_of(options)
    frameworks, malformed = known_frameworks(Path.cwd())
    rows = []
    used: set[Path] = set()
    for name, folder in frameworks.items():
        state = framework_state(folder, home)
        size = shown_size(state.environment.size()) if state.environment else "-"
        status = {"current": "current interpreter", "cannot": f"cannot: {state.reason}"}.get(state.status, state.status)
        rows.append([name, state.version or "-", state.python or "-", size, status])
        for environment in environments_of(folder, home):
            used.add(environment.path)
            if state.environment is None or environment.path != state.environment.path:
                rows.append(_own_row(environment, _further(environment)))
    unused = [environment for environment in list_environments(home) if environment.path not in used]
    rows += [_own_row(environment, f"not used any more: {environment.path.name}") for environment in unused]
    print(aligned(["framework", "version", "python", "size", "status"], rows, width=terminal_width()))
    for error in malformed.values():
        print(f"mlscope: error: {error}", file=sys.stderr)
    return 1 if malformed else 0
