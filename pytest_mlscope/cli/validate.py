"""``mlscope validate``: what is wrong with manifests and what they name."""

from __future__ import annotations

import argparse
import sys

from pytest_mlscope.cli.parsers import Commands, add_command
from pytest_mlscope.option_values import user_path

_DETAILS = """\
Checks everything that needs no framework: the schema, with what conftest files and plugins add to it, whether files are
there, their sha256 and size, the dataset's columns, rows and labels for two seconds, and the names, types and shapes of
inputs and outputs in ONNX files. Nothing is downloaded; conftest files are run, as pytest does. Each mistake is one
line, file:line:column; the exit status is 1 when there is any."""


def add_to(commands: Commands) -> None:
    """Add ``validate``."""
    parser = add_command(commands, "validate", "check manifests and the files they name", _validate, _DETAILS)
    parser.add_argument("paths", metavar="PATH", type=user_path, nargs="+", help="a *.mlscope.yml, or a folder of them")


def _validate(options: argparse.Namespace) -> int:
    from pytest_mlscope.api import manifests_in, registries_of, validate_manifest
    from pytest_mlscope.errors import MlscopeError

    wrong = 0
    paths = manifests_in(options.paths)
    registries = registries_of(paths)
    for path in paths:
        registry = registries[path]
        if isinstance(registry, MlscopeError):
            wrong += 1
            print(f"{path}: {registry}")
            continue
        validation = validate_manifest(path, registry)
        for line in validation.unchecked:
            print(f"not checked: {line}", file=sys.stderr)
        for line in validation.mistakes:
            print(line)
        wrong += bool(validation.mistakes)
        if not validation.mistakes:
            print(f"{path}: no mistakes")
    return 1 if wrong else 0
