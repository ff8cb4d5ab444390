"""Whatever a model file, a server or a framework says reaches the terminal as text, and has an end."""

from __future__ import annotations

import pytest

from pytest_mlscope.errors import MAX_LINE, MAX_LINES, ArtifactError, CannotRun, HostError, ManifestError


@pytest.mark.parametrize("error", [ArtifactError, ManifestError, CannotRun])
def test_control_characters_of_others_stand_as_escapes(error: type[Exception]) -> None:
    """A model file's operator or a server's reason phrase could otherwise clear the screen or set the title."""
    text = str(error("no operator \x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\nnext\tline"))
    assert text == "no operator \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eevil\nnext    line"


def test_the_output_of_a_framework_does_not_act_on_the_terminal() -> None:
    assert HostError("x", output="\x1b[2J\r\nmore\x00").output == "\\x1b[2J\nmore\\x00"


def test_no_message_is_without_an_end() -> None:
    message = str(ArtifactError(("x" * 10**6 + "end\n") * 2 + "y\n" * 10**5))
    lines = message.split("\n")
    assert len(lines) == MAX_LINES + 1
    assert len(lines[0]) < MAX_LINE + 60
    assert lines[0].endswith("end")
    assert "characters …]" in lines[0]
    assert lines[-1] == "[… 99,003 more lines]"
