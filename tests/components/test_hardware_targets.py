"""Hardware files: what they may say, what they take over from one another, and whom a wrong one concerns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mlscope import hookspecs
from pytest_mlscope.components.framework import FrameworkDescription
from pytest_mlscope.components.hardware import HardwareFile
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.components.peaks import parse_peak
from pytest_mlscope.components.registry import Registry, build_registry
from pytest_mlscope.errors import HardwareError, ManifestError
from pytest_mlscope.kinds import register_shipped
from pytest_mlscope.manifest.load import load_manifest
from tests.manifest import manifest_samples

FRAMEWORK = FrameworkDescription.model_validate(
    {
        "schema": 1,
        "name": "mine",
        "description": "mine",
        "devices": {"cpu": "CPU", "cuda": "GPU"},
        "precisions": {"cpu": ["fp32"], "cuda": ["fp32", "fp16"]},
    }
)

Targets = Callable[..., HardwareTargets]


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    """Files by name, with ``schema``, ``name`` and ``description`` put before what is given."""

    def write(**files: str) -> HardwareTargets:
        for name, text in files.items():
            content = f"schema: 1\nname: {name}\ndescription: {name}\n{text}\n"
            (tmp_path / f"{name}.yml").write_text(content, "utf-8")
        return HardwareTargets({name: HardwareFile(tmp_path / f"{name}.yml") for name in files})

    return write


def test_a_more_special_target_runs_where_frameworks_say_what_the_general_one_is_called(targets: Targets) -> None:
    found = targets(
        cuda="recognise: {rule: nvml}",
        card="extends: cuda\nrecognise: {rule: nvml, gpu: Card 1}",
        tuned="extends: card\nrecognise: {rule: always}\ndevices: {mine: 'GPU:1'}\nprecisions: {mine: [fp16]}",
    )
    assert found["card"].device_of(FRAMEWORK) == "GPU"
    assert found["card"].precisions_of(FRAMEWORK) == ["fp32", "fp16"]
    assert found["tuned"].lineage == ("card", "cuda")
    assert found["tuned"].is_a("cuda")
    assert not found["card"].is_a("tuned")
    assert found["tuned"].device_of(FRAMEWORK) == "GPU:1"
    assert found["tuned"].precisions_of(FRAMEWORK) == ["fp16"]


def test_what_a_target_says_of_frameworks_is_taken_over_and_its_peaks_are_not(targets: Targets) -> None:
    peaks = "peaks: {int8: {value: 8 TOP/s, source: {title: t, url: 'https://e.org'}}}"
    found = targets(
        npu=f"recognise: {{rule: provider}}\narchitecture: aarch64\ndevices: {{mine: NPU}}\n{peaks}",
        board="extends: npu\nrecognise: {rule: path, path: /dev/npu}",
    )
    assert found["board"].device_of(FRAMEWORK) == "NPU"
    assert found["board"].architecture == "aarch64"
    assert found["board"].peaks == {}


def test_a_target_nobody_states_precisions_for_has_the_frameworks_default(targets: Targets) -> None:
    found = targets(npu="recognise: {rule: provider}\ndevices: {mine: NPU}")
    assert found["npu"].precisions_of(FRAMEWORK) == ["framework_default"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recognise: {rule: nvml, gpu: '('}", "4:30: recognise.gpu: '(' is not a regular expression"),
        ("recognise: {rule: cpu}", "1:1: missing key 'architecture'; rule cpu requires it"),
        ("recognise: {rule: pci, vendor: 10ee, devices: []}", "4:47: recognise.devices"),
        ("recognise: {rule: pci, vendor: 4334, devices: ['5000']}", "4:32: recognise.vendor is the number 4334"),
        (
            "architecture: arm64\nrecognise: {rule: cpu}",
            "4:15: architecture is the text 'arm64'; allowed: x86_64, aarch64",
        ),
        ("recognise: {rule: always}\nlineage: [cpu]", "5:1: unknown key 'lineage'"),
        ("recognise: {rule: always}\nprecisions: {mine: [fp23]}", "5:21: precisions.mine[0] is the text 'fp23'"),
        (
            "recognise: {rule: always}\npeaks: {fp32: {value: 8 TB/s, source: {title: t, url: 'https://e.org'}}}",
            "5:23: peaks.fp32.value is in B/s; allowed: FLOP/s",
        ),
        (
            "recognise: {rule: always}\npeaks: {fp32: {value: 8 TFLOPS, source: {title: t, url: 'https://e.org'}}}",
            "5:23: peaks.fp32.value: '8 TFLOPS' is not a peak such as",
        ),
        ("recognise: {rule: always}\npeaks: {fp32: {value: 8 TFLOP/s}}", "missing key 'source'"),
        (
            "recognise: {rule: always}\npeaks: {fp33: {value: 1 FLOP/s, source: {title: t, url: 'https://e.org'}}}",
            "unknown key 'fp33' in peaks; allowed: fp64, ",
        ),
    ],
)
def test_a_mistake_is_one_line_at_its_place(targets: Targets, text: str, expected: str) -> None:
    with pytest.raises(HardwareError) as caught:
        _ = targets(npu=text)["npu"]
    assert expected in str(caught.value)
    assert str(caught.value).count("npu.yml:") == 1


def test_a_file_is_called_as_its_target(targets: Targets, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("name: npu\ndescription: d\nrecognise: {rule: always}\n", "utf-8")
    with pytest.raises(HardwareError, match=r"other\.yml:1:7: name is 'npu'; allowed: the file's name, 'other'"):
        _ = HardwareFile(tmp_path / "other.yml").target


def test_what_is_extended_must_be_there_and_lead_somewhere(targets: Targets) -> None:
    found = targets(
        cuda="recognise: {rule: nvml}",
        lost="extends: cudda\nrecognise: {rule: always}",
        snake="extends: tail\nrecognise: {rule: always}",
        tail="extends: snake\nrecognise: {rule: always}",
        broken="recognise: {rule: no}",
        heir="extends: broken\nrecognise: {rule: always}",
    )
    for name, expected in {
        "lost": "lost.yml:4:10: unknown hardware 'cudda'; allowed: cuda, snake, tail, broken, heir (did you mean",
        "snake": "extends itself: snake → tail → snake",
        "heir": "heir.yml:4:10: extends 'broken', which cannot be used: ",
    }.items():
        with pytest.raises(HardwareError) as caught:
            _ = found[name]
        assert expected in str(caught.value)
    assert list(found.usable()) == ["cuda"]


@given(
    number=st.floats(min_value=1e-3, max_value=1e5).map(lambda n: f"{n:.3f}"),
    prefix=st.sampled_from(["", "k", "M", "G", "T", "P"]),
    unit=st.sampled_from(["FLOP/s", "OP/s", "B/s"]),
)
def test_peaks_are_normalised(number: str, prefix: str, unit: str) -> None:
    """The SI prefix is worked into the amount, by thousands."""
    amount, found = parse_peak(f"{number} {prefix}{unit}")
    assert found == unit
    assert amount == pytest.approx(float(number) * 1000 ** ["", "k", "M", "G", "T", "P"].index(prefix))


@pytest.mark.parametrize(
    "text", ["", "0 TFLOP/s", "-1 TFLOP/s", "1TFLOP/s", "1 EFLOP/s", "nan B/s", "1e3 B/s", "1 GiB/s"]
)
def test_what_is_no_peak_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a peak such as"):
        parse_peak(text)


@pytest.fixture
def project_registry(tmp_path: Path) -> Callable[[], Registry]:
    def build() -> Registry:
        plugins = pytest.PytestPluginManager()
        plugins.add_hookspecs(hookspecs)
        register_shipped(plugins)
        return build_registry(plugins.hook, project=tmp_path)

    return build


def _manifest(project: Path, *hardware: str) -> Path:
    path = project / "model.mlscope.yml"
    path.write_text(f"{manifest_samples.MINIMAL}matrix: {{hardware: [{', '.join(hardware)}]}}\n", "utf-8")
    return path


def test_a_wrong_hardware_file_is_no_matter_to_manifests_that_do_not_name_it(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "npu.yml").write_text("[", "utf-8")
    assert load_manifest(_manifest(tmp_path, "cpu"), project_registry()).content.matrix.hardware == ["cpu"]


def test_a_manifest_that_names_a_wrong_hardware_file_shows_its_mistakes_once(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    (tmp_path / "hardware").mkdir()
    source = tmp_path / "hardware" / "cpu.yml"
    source.write_text("name: cpu\nrecognise: {rule: alway}\n", "utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifest(_manifest(tmp_path, "cpu"), project_registry())
    assert [line.partition(": ")[2] for line in str(caught.value).splitlines()] == [
        f"hardware 'cpu' cannot be used: {source}:1:1: missing key 'description'; the file requires it",
        f"hardware 'cpu' cannot be used: {source}:2:19: recognise.rule is the text 'alway'; allowed: always, cpu, "
        "nvml, path, pci, provider, emulator (did you mean 'always'?)",
    ]


def test_a_projects_target_takes_over_from_a_shipped_one(
    tmp_path: Path, project_registry: Callable[[], Registry]
) -> None:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "my_card.yml").write_text(
        "name: my_card\ndescription: d\nextends: cuda\nrecognise: {rule: nvml, gpu: Mine}\n", "utf-8"
    )
    registry = project_registry()
    loaded = load_manifest(_manifest(tmp_path, "cpu", "my_card"), registry)
    assert loaded.content.matrix.hardware == ["cpu", "my_card"]
    description = registry.frameworks["onnxruntime"].description
    assert registry.hardware_targets["my_card"].device_of(description) == "CUDAExecutionProvider"
