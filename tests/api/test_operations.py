"""What the commands print is what operations return, to anybody who calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mlscope.api import (
    check_machine,
    clear_cache,
    environments_here,
    make_environments,
    remove_environments,
    suites_here,
)
from pytest_mlscope.errors import WrongUse
from tests.plugin.linear_suite import Suite


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one framework that runs wherever numpy is, and one whose description is wrong."""
    folder = tmp_path / "project"
    folder.mkdir()
    wrong = Suite(folder).framework("wrong") / "framework.yml"
    wrong.write_text(wrong.read_text().replace("schema: 1", "schema: 9"))
    return folder


@pytest.mark.slow
def test_environments_are_told_with_sizes_and_reasons(project: Path, home: Path) -> None:
    there = environments_here(project, home)
    toy = next(entry for entry in there.entries if entry.framework == "toy")
    assert (toy.status, toy.size, toy.folder) == ("current", None, None)
    assert "schema is the number 9" in str(there.malformed["wrong"])
    half_made = home / "environments" / f"onnxruntime-{'0' * 12}-py3.11-linux-x86_64"
    half_made.mkdir(parents=True)
    entry = environments_here(project, home).entries[-1]
    assert (entry.framework, entry.status, entry.size) == ("onnxruntime", "not used any more", 0)
    (removed,) = remove_environments([half_made.name], home)
    assert removed.paths == [half_made]
    (removed,) = remove_environments(["onnxruntime"], home)
    assert "no environment named 'onnxruntime'" in str(removed.error)


def test_an_environment_that_cannot_be_made_does_not_keep_the_next_from_it(project: Path, home: Path) -> None:
    ancient = Suite(project).framework("ancient")
    with (ancient / "framework.yml").open("a") as file:
        file.write('distributions: [ancient]\npython: "<3.2"\n')
    (ancient / "requirements.lock").write_text("ancient==1.0\n")
    failed, made = make_environments(["ancient", "toy"], project=project, home=home)
    assert (failed.framework, failed.environment) == ("ancient", None)
    assert "needs a Python <3.2, and none was found" in str(failed.error)
    assert made.error is None
    assert made.environment is not None
    with pytest.raises(WrongUse, match="no framework named 'toi'; did you mean toy"):
        list(make_environments(["toy", "toi"], project=project, home=home))


def test_the_cache_is_cleared_folder_by_folder(home: Path) -> None:
    (home / "artifacts").mkdir(parents=True)
    (home / "artifacts" / "model.onnx").write_bytes(b"12345")
    assert [freed.size for freed in clear_cache(home)] == [5, 0]
    assert not (home / "artifacts").exists()


def test_a_machine_is_looked_at_in_parts(project: Path, home: Path) -> None:
    subjects = {finding.subject: finding for finding in check_machine(project, home)}
    assert subjects["framework wrong"].severity == "warning"
    assert subjects["framework toy"].severity == "ok"
    assert "hardware" in subjects


def test_suites_are_found_with_their_manifests(project: Path) -> None:
    suites = suites_here(project)
    assert suites["digits"].manifests == len(list(suites["digits"].folder.rglob("*.mlscope.yml")))
