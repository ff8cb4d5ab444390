"""Revisions of a real repository, unpacked beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_mlscope.errors import BaselineError
from pytest_mlscope.gate.git_revision import check_out


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "suite").mkdir(parents=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        (folder / "suite" / "model.txt").write_text(str(number))
        _git(folder, "add", ".")
        _git(folder, "commit", "--quiet", "-m", f"model {number}")
    return folder


def test_an_older_revision_lies_beside_the_working_tree(repository: Path, tmp_path: Path) -> None:
    revision = check_out("HEAD~1", folder=repository / "suite", home=tmp_path / "cache")
    assert (revision.folder / "suite" / "model.txt").read_text() == "1"
    assert (repository / "suite" / "model.txt").read_text() == "2"
    assert revision.commit == _git(repository, "rev-parse", "HEAD~1")
    assert (revision.repository, revision.dirty) == (repository, False)
    assert _git(repository, "status", "--porcelain") == ""


def test_a_file_that_git_keeps_as_a_pointer_is_unpacked_whole(repository: Path, tmp_path: Path) -> None:
    """As Git LFS does it: by a filter."""
    _git(repository, "config", "filter.pointer.clean", "sed s/whole/pointer/")
    _git(repository, "config", "filter.pointer.smudge", "sed s/pointer/whole/")
    (repository / ".gitattributes").write_text("*.onnx filter=pointer\n")
    (repository / "model.onnx").write_text("whole")
    _git(repository, "add", ".")
    _git(repository, "commit", "--quiet", "-m", "a large file")
    assert _git(repository, "show", "HEAD:model.onnx") == "pointer"
    revision = check_out("HEAD", folder=repository, home=tmp_path / "cache")
    assert (revision.folder / "model.onnx").read_text() == "whole"


def test_a_repository_without_a_commit_is_told(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    with pytest.raises(BaselineError, match=r"'HEAD': the git repository .* has no commit yet"):
        check_out("HEAD", folder=tmp_path, home=tmp_path / "cache")


def test_a_commit_is_unpacked_once(repository: Path, tmp_path: Path) -> None:
    first = check_out("main", folder=repository, home=tmp_path)
    (first.folder / "suite" / "seen").touch()
    assert (check_out("HEAD", folder=repository, home=tmp_path).folder / "suite" / "seen").exists()


def test_what_a_killed_process_left_is_made_anew(repository: Path, tmp_path: Path) -> None:
    first = check_out("main", folder=repository, home=tmp_path)
    (first.folder.parent / ".complete").unlink()
    (first.folder / "suite" / "model.txt").unlink()
    again = check_out("main", folder=repository, home=tmp_path)
    assert (again.folder / "suite" / "model.txt").read_text() == "2"


def test_a_dirty_tree_is_told(repository: Path, tmp_path: Path) -> None:
    (repository / "suite" / "model.txt").write_text("3")
    assert check_out("main", folder=repository, home=tmp_path).dirty


@pytest.mark.parametrize("name", ["no-such-branch", "--help", "HEAD~17", "", "main:suite/model.txt"])
def test_a_name_git_does_not_know_is_one_clear_line(repository: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BaselineError, match="is not a revision of the git repository") as error:
        check_out(name, folder=repository, home=tmp_path)
    assert "\n" not in str(error.value)


def test_outside_a_repository_there_are_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="in no git repository"):
        check_out("main", folder=tmp_path, home=tmp_path)


def test_a_shallow_clone_is_told(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))
    with pytest.raises(BaselineError, match=r"'HEAD~1' is not a revision .*a shallow clone: fetch the revision"):
        check_out("HEAD~1", folder=clone, home=tmp_path / "cache")


def test_a_machine_without_git_says_so(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BaselineError, match="git cannot be started"):
        check_out("main", folder=repository, home=tmp_path)


def test_the_reason_why_git_refuses_a_repository_is_shown(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(BaselineError, match=r"git refuses the repository .* dubious ownership .*safe\.directory"):
        check_out("HEAD", folder=repository / "suite", home=tmp_path / "cache")
