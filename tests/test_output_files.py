"""What stands where a file is to be written is replaced only if it is ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.output_files import require_replaceable


def check(path: Path) -> None:
    require_replaceable(path, beginning=r"\s*\{\s*\"schema\"", what="a report")


@pytest.mark.parametrize("content", [None, "", "\n", '{"schema": 1}', '{\n  "schema": 1}'])
def test_nothing_and_what_is_ours_can_be_replaced(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    check(path)


@pytest.mark.parametrize("content", [b"notes", b"\xff\x00", b'{"other": 1}', b"[1, 2]"])
def test_a_file_with_other_content_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(MlscopeError, match="file: is not a report, so it is not replaced; remove it, or give another"):
        check(tmp_path / "file")


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/../dev/stderr"])
def test_a_stream_is_not_whatever_it_leads_to(path: str) -> None:
    with pytest.raises(MlscopeError, match="is a stream of a process, not a file"):
        check(Path(path))


def test_a_device_a_fifo_a_folder_and_links_to_them_are_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "out").symlink_to("/dev/stdout")
    for name, said in {
        "fifo": "is a FIFO",
        "folder": "is a folder",
        "null": "is a device",
        "out": "is a stream",
    }.items():
        with pytest.raises(MlscopeError, match=f"{name}: {said}"):
            check(tmp_path / name)


def test_a_manifest_is_not_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "m.mlscope.yml")
    for name in ("m.mlscope.yml", "link.json"):
        with pytest.raises(MlscopeError, match="is the name of a model manifest; give the path of a file for a report"):
            check(tmp_path / name)
