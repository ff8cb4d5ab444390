"""``mlscope env lock-debian``: the Debian packages of a framework folder, pinned."""

from __future__ import annotations

import argparse
import sys

from pytest_mlscope.cli.parsers import Commands, add_command
from pytest_mlscope.option_values import user_path

_DETAILS = """\
Prints the lock of the packages and all that they depend on: it belongs in frameworks/NAME/debian-ARCH.lock, from
which `mlscope env create NAME` unpacks them into the environment. Nothing is installed on this machine."""


def add_to(actions: Commands) -> None:
    """Add ``lock-debian``."""
    parser = add_command(actions, "lock-debian", "pin Debian packages for a framework folder", _run, _DETAILS)
    parser.add_argument("suite", metavar="SUITE", help="the Debian release, such as bookworm")
    parser.add_argument("architecture", metavar="ARCH", help="x86_64, aarch64 or ppc64le")
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="a package wanted")
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a dependency to leave out, with what it alone needs; * stands for anything; may be repeated",
    )
    parser.add_argument(
        "--archive",
        action="append",
        default=[],
        metavar="URL",
        help="where packages come from, instead of Debian's own archives; may be repeated",
    )
    parser.add_argument("--output", type=user_path, metavar="FILE", help="write the lock there instead of printing it")


def _run(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import lock_debian_packages

    pinned = lock_debian_packages(
        options.suite,
        options.architecture,
        options.packages,
        exclude=options.exclude,
        archives=options.archive,
        output=options.output,
    )
    if options.output is None:
        print(pinned.text, end="")
    else:
        size = f"{pinned.size / 1e6:,.0f} MB to download"
        print(f"{options.output}: {pinned.packages} packages, {size}", file=sys.stderr)
    return 0
