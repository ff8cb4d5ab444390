from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from pytest_mlscope import quantities as readable
from pytest_mlscope.machine import facts as machine
from pytest_mlscope.measurements.evaluation import MeasuredColumn, OtherMeasurement
from pytest_mlscope.reports.junit import junit_properties
from pytest_mlscope.reports.run_section import git_facts, run_facts
from tests.reports.synthetic_evaluations import accuracy as measured_accuracy
from tests.reports.synthetic_evaluations import case, latency, parity, record


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_has_a_commit_and_is_dirty_once_a_tracked_file_changes(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    _git(tmp_path, "add", "file")
    assert git_facts(tmp_path) == {"commit": "not available", "dirty": "not available"}
    _git(tmp_path, "commit", "-q", "-m", "One")
    (tmp_path / "untracked").write_text("")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_facts(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("two")
    assert git_facts(tmp_path) == {"commit": commit, "dirty": True}


def test_outside_a_checkout_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_facts(tmp_path) == {"commit": "not available", "dirty": "not available"}


def test_without_git_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_facts(tmp_path)["commit"] == "not available"


def test_times_are_iso_with_their_zone(pytestconfig: pytest.Config) -> None:
    facts = run_facts(pytestconfig, 0.0, 90.5, 2, True)
    assert (facts.started, facts.finished) == ("1970-01-01T00:00:00.000+00:00", "1970-01-01T00:01:30.500+00:00")
    assert (facts.seconds, facts.exit_status, facts.interrupted) == (90.5, 2, True)


def test_the_machine_is_the_one_psutil_sees() -> None:
    facts = machine.machine_facts()
    assert facts["logical_cores"] == psutil.cpu_count()
    assert facts["memory_bytes"] == psutil.virtual_memory().total


def test_facts_are_a_copy_that_a_caller_may_change() -> None:
    machine.machine_facts()["governor"] = "changed"
    assert machine.machine_facts()["governor"] != "changed"


def test_a_system_that_tells_nothing_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    monkeypatch.setattr(platform, "processor", lambda: "")
    facts = machine._facts.__wrapped__()
    for key in ("cpu_model", "cpu_identity", "cpu_flags", "governor", "turbo", "virtual_machine"):
        assert facts[key] == "not available"


def test_an_arm_processor_is_told_by_implementer_and_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\nprocessor\t: 1\n"
    )
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    facts = machine._facts.__wrapped__()
    assert facts["cpu_identity"] == "CPU implementer 0x41, CPU part 0xd40"
    assert facts["cpu_flags"] == ["asimd", "fp"]
    assert facts["virtual_machine"] == "not available"


@pytest.mark.parametrize(
    ("file", "content", "turbo"), [("intel_pstate/no_turbo", "1", False), ("cpufreq/boost", "1", True)]
)
def test_turbo_as_each_driver_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str, turbo: bool
) -> None:
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(content)
    assert machine._turbo() is turbo


def test_junit_properties_hold_what_was_measured_and_nothing_else() -> None:
    made = dict(junit_properties(record(case(), latency=latency(40), parity=parity(max_abs=float("inf")))))
    assert made["mlscope.framework"] == "onnxruntime"
    assert made["mlscope.framework_version"] == "1.31.1"
    assert made["mlscope.hardware"] == "cpu"
    assert made["mlscope.max_abs"] == "inf"
    assert float(made["mlscope.p50_ms"]) == pytest.approx(0.0122, rel=0.05)
    assert made["mlscope.peak_memory_bytes"] == "212000000"
    assert "mlscope.p99_ms" not in made
    assert "mlscope.n" not in made
    assert "mlscope.mismatch" not in made


def test_junit_properties_hold_metrics_by_name() -> None:
    made = dict(junit_properties(record(accuracy=measured_accuracy(errors=2))))
    assert (made["mlscope.top1"], made["mlscope.n"], made["mlscope.errors"]) == ("0.9711", "450", "2")


def test_every_junit_property_is_documented() -> None:
    """They are made of the record's fields, so that one that is added there must be told of."""
    found = junit_properties(
        record(resolved="fp32", accuracy=measured_accuracy(), parity=parity(mismatch="shapes"), latency=latency(9000))
    )
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")
    documented = set(re.findall(r"`(mlscope\.[\w.]+)`", text[text.index("## JUnit properties") :]))
    assert {name for name, _ in found} == documented - {"mlscope.KIND.FIELD", "mlscope.NAME"}


def test_a_further_kind_of_measurement_has_its_columns() -> None:
    energy = OtherMeasurement({"joules": 3.5, "hidden": 1}, [MeasuredColumn("joules", "energy", "J")])
    made = dict(junit_properties(record(measurements={"energy": energy})))
    assert made["mlscope.energy.joules"] == "3.5"
    assert "mlscope.energy.hidden" not in made


def test_junit_properties_of_a_skipped_item() -> None:
    made = dict(junit_properties(record(outcome="skipped", reason="no driver")))
    assert made["mlscope.kind"] == "latency"
    assert "mlscope.key" not in made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ns"),
        (9e-10, "0.900 ns"),
        (1.22e-5, "12.2 µs"),
        (9.9996e-4, "1.00 ms"),
        (0.1, "100 ms"),
        (75.0, "75.0 s"),
        (1234.0, "1,234 s"),
        (float("inf"), "inf"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert readable.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9711, "0.9711"),
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (0.99996, "0.999960"),
        (1e-5, "0.000010"),
        (1e-30, "1.00e-30"),
        (12.345, "12.35"),
        (-0.5, "-0.5"),
        (float("nan"), "nan"),
    ],
)
def test_a_score_that_is_not_quite_1_does_not_show_as_1(value: float, text: str) -> None:
    assert readable.score(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (999, "999 B"), (212_000_000, "212 MB"), (999_960, "1.00 MB")])
def test_memory(value: int, text: str) -> None:
    assert readable.memory(value) == text
