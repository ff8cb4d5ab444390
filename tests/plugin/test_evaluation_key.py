"""The key of an evaluation: it changes with whatever can change the result, and says in what part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pytest_mlscope.cases.matrix import expand
from pytest_mlscope.cases.plan import Plan
from pytest_mlscope.components.registry import build_registry
from pytest_mlscope.kinds.plugins import plugin_manager
from pytest_mlscope.manifest.load import load_manifest
from pytest_mlscope.measurements.evaluator import Evaluator
from pytest_mlscope.reports.json_report import json_schema
from pytest_mlscope.settings import Settings
from tests.plugin.linear_suite import Suite

METRIC = """\
from helper import FACTOR
from pytest_mlscope import per_sample_metric

def score(outputs, labels):
    return FACTOR * (labels >= 0)

Counted = per_sample_metric("counted", score)

def pytest_mlscope_register_metrics():
    return [Counted]
"""
DATASET = """\
import numpy as np
from pytest_mlscope import Dataset, DataSource

class Source(DataSource):
    columns = ("features", "labels")
    def __len__(self):
        return 20
    def take(self, rows, columns):
        made = {"features": np.ones((20, 4), np.float32), "labels": np.zeros(20, np.int64)}
        return {name: made[name][rows] for name in columns}

class Made(Dataset):
    name = "made"
    level: int = 1
    def open(self, base, inputs):
        return Source()

def pytest_mlscope_register_datasets():
    return [Made]
"""

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluated(suite: Suite, pytester: pytest.Pytester) -> Evaluate:
    """The accuracy's record of one run."""
    suite.manifest()

    def evaluate(*options: str) -> dict[str, Any]:
        pytester.runpytest_inprocess("--mlscope", "--mlscope-json=now.json", "-k", "accuracy", *options)
        report = json.loads(Path("now.json").read_text())
        Draft202012Validator(json_schema()).validate(report)
        (record,) = report["evaluations"]
        return dict(record)

    return evaluate


def _parts(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
    """Names of the parts in which two keys differ."""
    first, second = before["provenance"]["key_parts"], now["provenance"]["key_parts"]
    assert (before["key"] == now["key"]) == (first == second)
    return {name for name in first if first[name] != second[name]}


def _other_data(folder: Path) -> None:
    with np.load(folder / "rows.npz") as rows:
        np.savez(folder / "rows.npz", features=rows["features"][::-1], labels=rows["labels"])


@pytest.mark.slow
def test_a_dataset_of_other_bytes_is_another_key(evaluated: Evaluate, suite: Suite) -> None:
    before = evaluated()
    assert _parts(before, evaluated()) == set()
    _other_data(suite.folder)
    now = evaluated()
    assert _parts(before, now) == {"dataset"}
    assert before["provenance"]["dataset"] == {
        **now["provenance"]["dataset"],
        "sha256": before["provenance"]["dataset"]["sha256"],
    }


def test_restarts_are_part_of_the_key(evaluated: Evaluate) -> None:
    assert _parts(evaluated(), evaluated("--mlscope-restarts=2")) == {"restarts"}


def test_labels_in_a_file_are_part_of_the_key(evaluated: Evaluate, suite: Suite) -> None:
    path = suite.manifest()
    text = path.read_text()
    path.write_text(text.replace("{name: scores,", "{name: scores, labels: names.txt,"))
    Path("names.txt").write_text("a\nb\nc\n")
    before = evaluated()
    Path("names.txt").write_text("a\nc\nb\n")
    assert _parts(before, evaluated()) == {"labels"}


@pytest.mark.slow
def test_the_code_of_a_metric_and_what_it_imports_are_part_of_the_key(evaluated: Evaluate, suite: Suite) -> None:
    Path("conftest.py").write_text(METRIC)
    Path("helper.py").write_text("FACTOR = 1.0\n")
    suite.manifest(metrics="[top1, counted]")
    before = evaluated()
    assert {Path(path).name for path in before["provenance"]["code"]} == {"conftest.py", "helper.py"}
    Path("conftest.py").write_text(METRIC.replace("FACTOR *", "0.5 * FACTOR *"))
    assert _parts(before, evaluated()) == {"code"}


@pytest.mark.slow
def test_a_module_beside_a_metric_is_part_of_the_key(evaluated: Evaluate, suite: Suite) -> None:
    Path("conftest.py").write_text(METRIC)
    Path("helper.py").write_text("FACTOR = 1.0\n")
    suite.manifest(metrics="[top1, counted]")
    before = evaluated()
    Path("helper.py").write_text("FACTOR = 0.25\n")
    assert _parts(before, evaluated()) == {"code"}


def test_a_dataset_without_files_is_known_by_its_code(evaluated: Evaluate, suite: Suite) -> None:
    Path("conftest.py").write_text(DATASET)
    path = suite.manifest()
    path.write_text(path.read_text().replace("source: npz, path: rows.npz", "source: made"))
    before = evaluated()
    assert before["provenance"]["dataset"]["covers"] == "parameters and code"
    assert before["provenance"]["not_hashed"] == []
    Path("conftest.py").write_text(DATASET.replace("level: int = 1", "level: int = 2"))
    assert _parts(before, evaluated()) == {"code", "dataset"}


def test_the_versions_of_what_prepares_rows_are_kept(evaluated: Evaluate) -> None:
    assert evaluated()["provenance"]["libraries"] == {"numpy": np.__version__}


def test_other_data_is_no_regression_of_the_model(evaluated: Evaluate, suite: Suite, pytester: pytest.Pytester) -> None:
    suite.manifest(expect="{accuracy: {top1: {min: 0.0}}}")
    evaluated()
    Path("now.json").rename("saved.json")
    _other_data(suite.folder)
    comparison = evaluated("--mlscope-against=saved.json")["comparison"]
    assert comparison["outcome"] == "not compared"
    (message,) = comparison["messages"]
    assert "the datasets differ (sha256 " in message


@pytest.mark.slow
def test_other_data_in_another_checkout_is_no_regression_of_the_model(
    evaluated: Evaluate, suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suite.manifest(expect="{accuracy: {top1: {min: 0.0}}}")
    there = tmp_path_factory.mktemp("there")
    for file in ("rows.npz", "weights.npy", "linear.mlscope.yml"):
        (there / file).write_bytes((suite.folder / file).read_bytes())
    shutil.copytree(suite.folder / "frameworks", there / "frameworks")
    assert evaluated(f"--mlscope-against={there}")["comparison"]["outcome"] == "pass"
    _other_data(suite.folder)
    (message,) = evaluated(f"--mlscope-against={there}")["comparison"]["messages"]
    assert "the datasets differ (sha256 " in message


def test_what_was_chosen_in_place_of_the_manifest_is_another_key(suite: Suite, pytester: pytest.Pytester) -> None:
    """A window of a tenth of the time, say, gives another number."""
    manifest = load_manifest(suite.manifest(), build_registry(plugin_manager().hook, project=pytester.path))
    plan = Plan.of(manifest, expand(manifest)[0])
    evaluator = Evaluator(Settings(home=pytester.path / "home", timeout=60))
    try:
        key, facts = evaluator.provenance(plan)
        assert evaluator.provenance(Plan.of(manifest, plan.case)) == (key, facts)
        other, changed = evaluator.provenance(plan.with_budget(0.125))
    finally:
        evaluator.close()
    assert other != key
    assert facts["settings"] == {}
    assert changed["settings"] == {"measurement": {"budget": 0.125}}
    parts, changed_parts = facts["key_parts"], changed["key_parts"]
    assert [name for name in parts if parts[name] != changed_parts[name]] == ["settings"]
