"""What the subcommands' parsers have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mlscope.cli.folding import folded_prose
from pytest_mlscope.option_values import user_path

if TYPE_CHECKING:
    from pytest_mlscope.settings import Settings

Commands = Any
"""What ``add_subparsers`` returns, which argparse keeps private."""


def add_command(
    commands: Commands, name: str, summary: str, run: Callable[[argparse.Namespace], int] | None, details: str = ""
) -> argparse.ArgumentParser:
    """Add a subcommand, whose help is its summary and the details."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=folded_prose(f"{summary[0].upper()}{summary[1:]}.\n\n{details}".rstrip()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run:
        parser.set_defaults(run=run)
    return parser


def add_home(parser: argparse.ArgumentParser) -> None:
    """Add ``--home``."""
    parser.add_argument(
        "--home",
        type=user_path,
        metavar="DIR",
        help="the cache folder, instead of $MLSCOPE_HOME or the user's cache folder",
    )


def home_of(options: argparse.Namespace) -> Path:
    """The cache folder that the options, or else the machine, mean."""
    from pytest_mlscope.machine import cache_home, expanded

    chosen: Path | None = options.home
    return expanded(chosen) if chosen else cache_home()


def settings_of(options: argparse.Namespace) -> Settings:
    """What a command that evaluates runs with: its progress goes to stderr."""
    from pytest_mlscope.recorder import ConsoleRecorder
    from pytest_mlscope.settings import Settings

    return Settings(
        home=home_of(options),
        provision=options.provision,
        command_line=tuple(sys.argv),
        recorder=ConsoleRecorder(sys.stderr),
    )


def shown_size(size: int) -> str:
    """Bytes for the eye.

    >>> shown_size(512), shown_size(1_300_000_000)
    ('512 B', '1.3 GB')
    """
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
