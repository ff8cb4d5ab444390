"""docs/add-a-framework.md, followed to the letter in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mlscope.conformance.suite import CHECKS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "add-a-framework.md").read_text("utf-8")
BLOCK = re.compile(
    r"(?:^`(?P<path>[\w./-]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.mark.installs
def test_following_the_page_makes_a_framework_without_faults(tmp_path: Path) -> None:
    """Files are written and commands run in the page's order; the last block is a test of the reader's own."""
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "MLSCOPE_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }
    project = tmp_path / "project"
    project.mkdir()
    outputs: dict[str, str] = {}
    for block in BLOCK.finditer(DOCUMENT):
        if block["language"] == "sh":
            command = block["text"].strip()
            program, *arguments = command.split()
            # The scripts of this interpreter; where the package is on the path only, their modules.
            module = {"mlscope": ["-c", "import sys; from pytest_mlscope.cli.main import main; sys.exit(main())"]}
            start = [sys.executable, *module.get(program, [] if program == "python" else ["-m", program])]
            done = subprocess.run(
                [*start, *arguments], capture_output=True, text=True, cwd=project, env=environment, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            outputs[command] = done.stdout
        else:
            path = project / (block["path"] or "test_reference.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"], "utf-8")
    checked = outputs["mlscope framework check reference"]
    assert checked.splitlines()[-1] == "reference: no fault"
    assert "4 passed" in outputs["pytest --mlscope model_suites/linear"]
    own = [sys.executable, "-m", "pytest", "test_reference.py"]
    done = subprocess.run(own, capture_output=True, text=True, cwd=project, env=environment, check=False)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", [name for name, _ in CHECKS])
def test_every_check_is_documented(name: str) -> None:
    table = DOCUMENT.partition("\n## What is checked\n")[2]
    assert re.search(rf"^\| (?:`[^`]+`, )*`{re.escape(name)}`[,| ]", table, re.MULTILINE)
