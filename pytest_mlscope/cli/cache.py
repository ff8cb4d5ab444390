"""``mlscope cache``: downloaded and built model files, and git revisions that were unpacked for comparing."""

from __future__ import annotations

import argparse

from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of, shown_size
from pytest_mlscope.errors import MlscopeError

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
    import shutil

    from pytest_mlscope.machine import artifacts_folder, revisions_folder

    for folder in (artifacts_folder(home_of(options)), revisions_folder(home_of(options))):
        freed = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise MlscopeError(f"{error.filename or folder}: cannot be removed: {error.strerror}") from None
        print(f"freed {shown_size(freed)} in {folder}")
    return 0
