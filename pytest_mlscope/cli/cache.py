"""``mlscope cache``: downloaded and built model files, and git revisions that were unpacked for comparing."""

from __future__ import annotations

import argparse

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of, shown_size

_CLEAR = """\
They are downloaded, built and unpacked again when next needed.
Framework environments stay: see `mlscope env remove`."""


def add_to(commands: Commands) -> None:
    """Add ``cache`` and its subcommands."""
    parser = add_command(commands, "cache", "show and clear the cache of model files and revisions", None)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_home(add_command(actions, "path", "print the cache folder", _path))
    what = "delete all downloaded and built model files, and unpacked git revisions"
    add_home(add_command(actions, "clear", what, _clear, _CLEAR))


def _path(options: argparse.Namespace) -> int:
    print(home_of(options))
    return 0


def _clear(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import clear_cache

    for freed in clear_cache(home_of(options)):
        print(f"freed {shown_size(freed.size)} in {freed.folder}")
    return 0
