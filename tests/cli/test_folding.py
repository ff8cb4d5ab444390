"""Long lines are folded on a terminal, and nowhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope.cli.folding import folded, folded_prose
from pytest_mlscope.cli.main import main
from pytest_mlscope.cli.table import aligned
from pytest_mlscope.environments import diagnosis
from pytest_mlscope.environments.interpreters import Interpreter
from pytest_mlscope.text import first_few


def test_folded_lines_hang() -> None:
    text = "ok       subject: some words that do not fit"
    assert folded(text, width=36, indent=9) == "ok       subject: some words that do\n         not fit"
    assert folded(text, width=None, indent=9) == text
    assert folded(text, width=20, indent=9) == text, "too narrow to be of use"


@given(
    st.lists(st.sampled_from(["some words of prose", "  an indented line", "", "more-hyphenated words"]), max_size=12)
)
def test_prose_is_folded_and_what_is_indented_is_left(lines: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "30")
        text = folded_prose("\n".join(lines))
    assert text.split() == " ".join(lines).split()
    assert all(len(line) <= 28 for line in text.splitlines())
    assert text.splitlines().count("  an indented line") == lines.count("  an indented line")


def test_the_last_column_is_folded() -> None:
    table = aligned(["a", "status"], [["x", f"cannot: {'word ' * 6}/a/path-of-one-word"], ["y", ""]], width=32)
    assert table.splitlines() == [
        "a  status",
        "x  cannot: word word word word",
        "   word word /a/path-of-one-word",
        "y",
    ]


def test_a_long_list_is_shortened() -> None:
    assert first_few(list("abcde")) == "a, b, c, d, e"
    assert first_few(list("abcdef")) == "a, b, c, d and 2 more"


@pytest.mark.parametrize("terminal", [True, False])
def test_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    found = [Interpreter(Path(f"/opt/python/{minor}/bin/python3"), f"3.{minor}.0", True) for minor in range(6, 16)]
    monkeypatch.setattr(diagnosis, "interpreters", lambda: iter(found))
    monkeypatch.setattr(diagnosis, "index_answer", lambda: ("index", None))
    monkeypatch.setenv("MLSCOPE_LEASES", str(tmp_path))
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.chdir(tmp_path)
    main(["doctor", "--home", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "3.14.0, 3.15.0" in printed, "every version"
    assert "/opt/python/15/" not in printed, "few paths"
    long = [line for line in printed.splitlines() if len(line) > 80 and len(line.split()) > 1]
    assert bool(long) is not terminal
    assert ("\n         " in printed) is terminal


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert folded("layer \x1b[2J here", width=80, indent=2) == "layer \\x1b[2J here"
    assert aligned(["layer"], [["a\x07b"]]).split("\n")[1] == "a\\x07b"
