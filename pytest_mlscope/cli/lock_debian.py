"""``mlscope env lock-debian``: the Debian packages of a framework folder, pinned."""

from __future__ import annotations

import argparse
import shlex
import sys

from pytest_mlscope.cli.parsers import Commands, add_command
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.option_values import user_path
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.text import without_secrets

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
    from pytest_mlscope.environments import ARCHIVES, fetch, format_debian_lock, make_debian_lock

    if options.output is not None:
        beginning = r"(#.*\n|\s*\n)*(archive|suite|architecture): "
        require_replaceable(options.output, beginning=beginning, what="a lock of Debian packages")
    archives = [url.rstrip("/") for url in options.archive]
    lock = make_debian_lock(
        options.suite,
        options.architecture,
        options.packages,
        exclude=options.exclude,
        archives=archives or ARCHIVES,
        fetch=fetch,
    )
    words = ["mlscope", "env", "lock-debian", options.suite, options.architecture, *options.packages]
    words += [word for pattern in options.exclude for word in ("--exclude", pattern)]
    # The comment is shared with the lock, and a URL may hold a password.
    words += [word for url in archives for word in ("--archive", without_secrets(url))]
    text = format_debian_lock(lock, comments=[f"Made by: {shlex.join(words)}"])
    if options.output is None:
        print(text, end="")
        return 0
    try:
        options.output.write_text(text, "utf-8")
    except OSError as error:
        raise MlscopeError(f"{options.output}: cannot be written: {error.strerror}") from None
    print(f"{options.output}: {len(lock.packages)} packages, {lock.size / 1e6:,.0f} MB to download", file=sys.stderr)
    return 0
