"""``mlscope schema``: the JSON Schema of model manifests."""

from __future__ import annotations

import argparse

from pytest_mlscope.cli.parsers import Commands, add_command

_DETAILS = """\
Editors complete and check manifests by it. With the YAML language server, write it to a file and begin a manifest with
    # yaml-language-server: $schema=mlscope.schema.json"""


def add_to(commands: Commands) -> None:
    """Add ``schema``."""
    add_command(commands, "schema", "print the JSON Schema of model manifests", _schema, _DETAILS)


def _schema(_: argparse.Namespace) -> int:
    import json

    from pytest_mlscope.manifest.json_schema import manifest_json_schema

    print(json.dumps(manifest_json_schema(), indent=2))
    return 0
