"""What a machine or a build lacks is one line of the summary for each hardware target."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from pytest_mlscope.machine.facts import machine_architecture
from tests.plugin.linear_suite import Suite

Run = Callable[..., pytest.RunResult]

ABSENT = "name: {name}\ndescription: d\nextends: cpu\nrecognise: {{rule: path, path: /nowhere/{name}}}\n"


def _summary(result: pytest.RunResult) -> list[str]:
    lines = result.outlines
    start = next((index for index, line in enumerate(lines) if " could not run " in line), len(lines))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        found.append(line.strip())
    return found


@pytest.fixture
def targets(suite: Suite) -> None:
    folder = suite.folder / "hardware"
    folder.mkdir()
    for name in ("npu", "tpu"):
        (folder / f"{name}.yml").write_text(ABSENT.format(name=name))


@pytest.mark.usefixtures("targets")
def test_one_line_a_target_whatever_the_frameworks(suite: Suite, run: Run) -> None:
    suite.framework("other")
    suite.manifest(frameworks=("toy", "other"), matrix="{hardware: [cpu, npu, tpu], batch_size: [1, 2]}")
    result = run("-m", "accuracy")
    result.assert_outcomes(passed=4, skipped=8)
    assert _summary(result) == [
        "npu: not on this machine (/nowhere/npu does not exist) — 4 tests",
        "tpu: not on this machine (/nowhere/tpu does not exist) — 4 tests",
    ]


@pytest.mark.usefixtures("targets")
def test_a_machine_that_lacks_a_target_fails_a_strict_run(suite: Suite, run: Run) -> None:
    suite.manifest(matrix="{hardware: [npu]}")
    result = run("-m", "accuracy", "--mlscope-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*npu: not on this machine (/nowhere/npu does not exist)*"])


def test_a_device_the_build_lacks_is_a_skip_that_says_what_it_has(suite: Suite, run: Run) -> None:
    """The framework is asked when its host starts; nothing is loaded for a device it does not offer."""
    folder = suite.folder / "hardware"
    folder.mkdir()
    for name in ("here", "absent"):
        (folder / f"{name}.yml").write_text(
            f"name: {name}\ndescription: d\nrecognise: {{rule: provider}}\n"
            f"devices: {{toy: {name}}}\nprecisions: {{toy: [fp32]}}\n"
        )
    path = suite.framework("toy", load="assert request.device == 'here'") / "predictor.py"
    path.write_text(path.read_text() + "\n    def devices(self):\n        return ['cpu', 'here']\n")
    suite.manifest(matrix="{hardware: [here, absent], batch_size: [1, 2]}")
    result = run("-m", "accuracy")
    result.assert_outcomes(passed=2, skipped=2)
    assert _summary(result) == ["absent: toy 1.0 here has no absent; it has: cpu, here — 2 tests"]


def test_a_wrong_hardware_file_leaves_other_manifests_alone(suite: Suite, run: Run) -> None:
    folder = suite.folder / "hardware"
    folder.mkdir()
    (folder / "npu.yml").write_text("name: npu\nrecognise: {rule: always}\n")
    suite.manifest()
    suite.manifest(name="wrong", matrix="{hardware: [npu]}")
    result = run("-m", "accuracy", "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*hardware 'npu' cannot be used: *npu.yml:1:1: missing key 'description'*"])


OTHER = "ppc64le" if machine_architecture() != "ppc64le" else "aarch64"


def test_an_emulated_processor_is_never_timed(suite: Suite, run: Run) -> None:
    """Not under --mlscope-strict either, which fails what another machine could run."""
    suite.manifest(matrix=f"{{hardware: [emulated_{OTHER}]}}")
    result = run("-m", "latency", "--mlscope-strict")
    result.assert_outcomes(skipped=1)
    assert _summary(result) == [f"emulated_{OTHER}: timings under emulation mean nothing — 1 test"]


def test_an_emulated_processor_needs_an_environment_of_its_own(suite: Suite, run: Run) -> None:
    """That of this machine, which has the framework, is not taken for it."""
    suite.manifest(matrix=f"{{hardware: [emulated_{OTHER}]}}")
    result = run("-m", "accuracy")
    result.assert_outcomes(skipped=1)
    summary = " ".join(_summary(result))
    assert f"toy: this machine is {platform.machine()}, not {OTHER}; its folder has no debian-{OTHER}.lock" in summary


def test_a_machine_of_the_architecture_claims_no_emulation(suite: Suite, run: Run) -> None:
    here = machine_architecture()
    folder = suite.folder / "hardware"
    folder.mkdir()
    (folder / "as_if.yml").write_text(
        f"name: as_if\ndescription: d\nextends: cpu\narchitecture: {here}\nrecognise: {{rule: emulator}}\n"
    )
    suite.manifest(matrix="{hardware: [as_if]}")
    result = run("-m", "accuracy")
    result.assert_outcomes(skipped=1)
    expected = f"as_if: not on this machine (the processor is {here} itself, so nothing would be emulated; use cpu or"
    assert expected in " ".join(_summary(result))
