"""What a case is compared with in another checkout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_mlscope.api.evaluation import load_alone
from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.errors import NoCounterpart
from pytest_mlscope.gate.baseline import FolderBaseline
from pytest_mlscope.manifest.loaded import LoadedManifest
from tests.plugin.linear_suite import Suite


@pytest.fixture
def there(tmp_path: Path) -> Suite:
    return _suite(tmp_path / "there")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    suite = _suite(tmp_path / "here")
    monkeypatch.chdir(suite.folder)
    return suite


def _suite(folder: Path) -> Suite:
    folder.mkdir()
    return Suite(folder)


def _plans(path: Path) -> list[Plan]:
    manifest = load_alone(path)
    return [Plan.of(manifest, case) for case in expand(manifest)]


def _load(path: Path, _project: Path) -> tuple[LoadedManifest, Sequence[Case]]:
    manifest = load_alone(path)
    return manifest, expand(manifest)


def _baseline(there: Suite, here: Suite) -> FolderBaseline:
    return FolderBaseline(there.folder, label="there", project=here.folder, load=_load)


def test_a_version_that_took_anothers_place_is_compared_with_it(there: Suite, here: Suite) -> None:
    there.manifest(entry=', version: "1.20"')
    (plan,) = _plans(here.manifest(entry=', version: "1.31"'))
    assert (plan.case.version, _baseline(there, here).counterpart(plan).case.version) == ("1.31", "1.20")


def test_a_version_beside_others_is_new(there: Suite, here: Suite) -> None:
    there.manifest(entry=', version: "1.20"')
    old, new = _plans(here.manifest(entry=', version: ["1.20", "1.31"]'))
    baseline = _baseline(there, here)
    assert baseline.counterpart(old).case.version == "1.20"
    with pytest.raises(NoCounterpart, match=r"has toy with version 1\.20, not 1\.31"):
        baseline.counterpart(new)


def test_of_several_versions_that_are_gone_none_is_chosen(there: Suite, here: Suite) -> None:
    there.manifest(entry=', version: ["1.19", "1.20"]')
    (plan,) = _plans(here.manifest(entry=', version: "1.31"'))
    with pytest.raises(NoCounterpart, match=r"version 1\.19 or 1\.20, not 1\.31"):
        _baseline(there, here).counterpart(plan)


@pytest.mark.parametrize(("name", "found"), [("linear", True), ("another", False)])
def test_a_manifest_of_the_suite_alone_is_that_of_the_same_model(
    there: Suite, here: Suite, name: str, found: bool
) -> None:
    """The other checkout may be of the suite's folder alone; by chance, another model may lie at that path."""
    there.manifest(name=name).rename(there.folder / "linear.mlscope.yml")
    suite = here.folder / "suites"
    suite.mkdir()
    moved = here.manifest().rename(suite / "linear.mlscope.yml")
    (plan,) = _plans(moved)
    if found:
        assert _baseline(there, here).counterpart(plan).manifest.path.parent == there.folder
    else:
        with pytest.raises(NoCounterpart, match=r"there is no suites/linear\.mlscope\.yml; is the model new"):
            _baseline(there, here).counterpart(plan)
