"""What is read is an ordinary file; everything else is refused without waiting for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_mlscope.ordinary_files import open_ordinary, read_ordinary


def test_an_ordinary_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    assert read_ordinary(tmp_path / "file", most=4) == b"abcd"


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    for name in ("fifo", "link"):
        with pytest.raises(OSError, match="it is a FIFO, not an ordinary file"):
            open_ordinary(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/zero", "it is a device"),
        ("/", "it is a folder"),
        ("/a\0b", "NUL character"),
        ("/no/such", "No such file"),
    ],
)
def test_what_is_no_ordinary_file_is_one_line(path: str, said: str) -> None:
    with pytest.raises(OSError, match=said):
        open_ordinary(Path(path))
