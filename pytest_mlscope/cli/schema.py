"""``mlscope schema``: the JSON Schema of model manifests."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mlscope.cli.parsers import Commands, add_command

_DETAILS = """\
Editors complete and check manifests by it. With the YAML language server, write it to a file and begin a manifest with
    # yaml-language-server: $schema=mlscope.schema.json
where the path is relative to the manifest. It knows the frameworks and hardware targets of the current folder, and lets
pass datasets, metrics, steps and scenarios that a conftest or a plugin may register."""


def add_to(commands: Commands) -> None:
    """Add ``schema``."""
    add_command(commands, "schema", "print the JSON Schema of model manifests", _schema, _DETAILS)


def _schema(_: argparse.Namespace) -> int:
    from pytest_mlscope.api import manifest_schema_text

    print(manifest_schema_text(Path.cwd()), end="")
    return 0


if __name__ == "__main__":
    from pytest_mlscope.kinds import shipped_registry
    from pytest_mlscope.manifest import SHIPPED, as_text, manifest_json_schema

    SHIPPED.write_text(as_text(manifest_json_schema(shipped_registry())), "utf-8")
