"""Prints the shipped frameworks that have or can have an environment here; says of the others why not, on stderr."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_mlscope.components.framework import FrameworkFolder
from pytest_mlscope.environments.state import framework_state
from pytest_mlscope.machine.cache_folder import cache_home


def main() -> None:
    separator = sys.argv[1] if len(sys.argv) > 1 else " "
    runnable = []
    for path in sorted(Path("frameworks").iterdir()):
        if not (path / "framework.yml").is_file():
            continue
        state = framework_state(FrameworkFolder(path), cache_home())
        if state.status == "cannot":
            print(f"NOT RUN: {path.name}: {state.reason}", file=sys.stderr)
        else:
            runnable.append(path.name)
    print(separator.join(runnable))


if __name__ == "__main__":
    main()
