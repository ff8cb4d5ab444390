"""The ``mlscope`` command. Each subcommand is a module that imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from pytest_mlscope import __version__
from pytest_mlscope.cli import audit, bisect, cache, doctor, env, framework, loadgen, schema, suite, validate
from pytest_mlscope.errors import MlscopeError, WrongUse

# 130 is 128 + SIGINT, as shells report it.
EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
EXIT_USAGE = 4
"""As pytest's, so that a script need not tell the two commands apart."""

_DESCRIPTION = """\
Prepare this machine for `pytest --mlscope`: environments, suites, the cache.
Evaluating itself is pytest's: see, in `pytest --help`,
"evaluation of machine-learning models (pytest-mlscope)".
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="mlscope",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # A prefix that means one option today may be ambiguous with the next release.
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pytest-mlscope {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (doctor, env, framework, suite, validate, schema, cache, audit, bisect, loadgen):
        module.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    :return: 0; 1 when something could not be done; 4 when the command line is wrong; 130 when interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # A path may have bytes that the locale cannot decode.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        # Here, since Python would flush only at exit, where a closed pipe is no longer caught.
        sys.stdout.flush()
    except MlscopeError as error:
        print(f"mlscope: error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, WrongUse) else EXIT_FAILED
    except KeyboardInterrupt:
        print("mlscope: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain when it closes stdout itself.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return status


if __name__ == "__main__":
    sys.exit(main())
