"""Which targets a machine is recognised as having, and the one line that says why not."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.components import shipped
from pytest_mlscope.components.hardware import HardwareTarget
from pytest_mlscope.components.hardware_targets import HardwareTargets
from pytest_mlscope.machine import hardware_presence, nvidia_gpus
from pytest_mlscope.machine.device_identity import hardware_identity
from pytest_mlscope.machine.facts import machine_architecture, machine_facts
from pytest_mlscope.machine.hardware_presence import why_absent

HERE = machine_architecture()
ELSEWHERE = "ppc64le" if HERE != "ppc64le" else "aarch64"


def target(rule: str, *, architecture: str | None = None, **parameters: Any) -> HardwareTarget:
    content = {"name": "it", "description": "it", "recognise": {"rule": rule, **parameters}}
    return HardwareTarget.model_validate({**content, "architecture": architecture})


def test_the_processor_is_told_by_architecture_model_and_flags() -> None:
    facts = machine_facts()
    assert why_absent(target("cpu", architecture=HERE)) is None
    assert why_absent(target("cpu", architecture=ELSEWHERE)) == f"the processor is {HERE}, not {ELSEWHERE}"
    assert why_absent(target("cpu", architecture=HERE, model=".")) is None
    reason = why_absent(target("cpu", architecture=HERE, model="Abacus 3"))
    assert reason == f"the processor is {facts['cpu_model']!r}, which does not match 'Abacus 3'"
    assert why_absent(target("cpu", architecture=HERE, flags=["abacus"])) == "the processor lacks abacus"


def test_a_file_is_there_and_says_what_it_should(tmp_path: Path) -> None:
    node = tmp_path / "model"
    assert why_absent(target("path", path=str(node))) == f"{node} does not exist"
    # A device tree ends its texts with a zero byte.
    node.write_bytes(b"NVIDIA Jetson AGX Orin Developer Kit\0")
    assert why_absent(target("path", path=str(node))) is None
    assert why_absent(target("path", path=str(node), content="Jetson.*Kit$")) is None
    assert why_absent(target("path", path=str(node), content="Xavier")) == f"{node} does not hold 'Xavier'"
    assert "cannot be read" in str(why_absent(target("path", path=str(tmp_path / "no"), content="x")))


def test_a_pci_device_is_told_by_vendor_and_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_presence, "_PCI", tmp_path)
    for slot, vendor, device in (("0000:00:00.0", "8086", "5000"), ("0000:03:00.1", "10ee", "5001")):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "vendor").write_text(f"0x{vendor}\n")
        (tmp_path / slot / "device").write_text(f"0x{device}\n")
    assert why_absent(target("pci", vendor="10ee", devices=["5000", "5001"])) is None
    assert why_absent(target("pci", vendor="10ee", devices=["5000"])) == "no PCI device 10ee:5000"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A driver with these GPUs: UUID to name. It stands for the driver's library, which needs a GPU."""
    nvidia_gpus.nvidia_gpus.cache_clear()

    def install(**gpus: str) -> None:
        module = types.ModuleType("pynvml")
        listed = list(gpus.items())
        answers = {
            "NVMLError": OSError,
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(listed),
            "nvmlDeviceGetHandleByIndex": lambda index: listed[index],
            "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle[0]}",
            "nvmlDeviceGetName": lambda handle: handle[1].encode(),
        }
        vars(module).update(answers)
        monkeypatch.setitem(sys.modules, "pynvml", module)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield install
    nvidia_gpus.nvidia_gpus.cache_clear()


@pytest.mark.parametrize(
    ("there", "reason"),
    [(False, "no NVIDIA driver"), (True, "nvidia-ml-py is not installed (pip install 'pytest-mlscope[nvidia]')")],
)
def test_a_driver_that_is_not_there_comes_before_what_asks_it(
    monkeypatch: pytest.MonkeyPatch, there: bool, reason: str
) -> None:
    nvidia_gpus.nvidia_gpus.cache_clear()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(nvidia_gpus, "_has_driver", lambda: there)
    assert why_absent(target("nvml")) == reason
    nvidia_gpus.nvidia_gpus.cache_clear()


def test_a_gpu_is_told_by_its_whole_name(driver: Callable[..., None]) -> None:
    driver(a="NVIDIA A10G", b="NVIDIA A10G")
    assert why_absent(target("nvml")) is None
    assert why_absent(target("nvml", gpu="nvidia a10g")) is None
    assert why_absent(target("nvml", gpu="NVIDIA A10")) == "its GPU is NVIDIA A10G"


def test_where_gpus_differ_none_is_taken_for_the_one_in_use(
    driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(a="NVIDIA T400", b="NVIDIA A10")
    reason = why_absent(target("nvml", gpu="NVIDIA A10"))
    assert str(reason).startswith("its GPUs differ (NVIDIA T400, NVIDIA A10); choose one by its UUID")
    nvidia_gpus.nvidia_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert why_absent(target("nvml", gpu="NVIDIA A10")) is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_not_there(driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    driver(a="NVIDIA A10")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert why_absent(target("nvml")) == f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU"


def test_without_a_gpu_the_driver_says_why(driver: Callable[..., None]) -> None:
    driver()
    assert why_absent(target("nvml")) == "the NVIDIA driver lists no GPU"


def test_only_another_architecture_is_emulated() -> None:
    """A machine that is of the architecture must not pass for an emulated one."""
    assert "itself, so nothing would be emulated" in str(why_absent(target("emulator", architecture=HERE)))


@pytest.fixture
def targets() -> HardwareTargets:
    return HardwareTargets({each.name: each for each in shipped.pytest_mlscope_register_hardware_targets(None)})


def test_the_identity_names_what_the_machine_is(targets: HardwareTargets) -> None:
    identity = hardware_identity(targets["cpu"], targets)
    assert identity["architecture"] == HERE
    assert identity["emulated"] is False
    assert {"cpu", f"cpu_{HERE}"} <= set(identity["targets"])
    assert not {f"cpu_{ELSEWHERE}", "openvino_ep", f"emulated_{ELSEWHERE}"} & set(identity["targets"])


def test_the_identity_holds_the_vendors_peaks(targets: HardwareTargets, driver: Callable[..., None]) -> None:
    driver(a="NVIDIA A100-SXM4-40GB")
    identity = hardware_identity(targets["cuda"], targets)
    assert "nvidia_a100_40gb" in identity["targets"]
    peak = identity["peaks"]["nvidia_a100_40gb"]["bf16"]
    assert (peak["value"], peak["unit"], peak["note"]) == (312e12, "FLOP/s", None)
    assert peak["source"]["url"].startswith("https://")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA A100-SXM4-80GB", "nvidia_a100_80gb_sxm"),
        ("NVIDIA A100 80GB PCIe", "nvidia_a100_80gb_pcie"),
        ("A100-PCIE-40GB", "nvidia_a100_40gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia_h100_sxm"),
        ("NVIDIA H100 PCIe", "nvidia_h100_pcie"),
        ("NVIDIA H200", "nvidia_h200"),
        ("NVIDIA L4", "nvidia_l4"),
        ("NVIDIA L40S", "nvidia_l40s"),
        ("Tesla T4", "nvidia_t4"),
        ("Tesla V100-SXM2-16GB", "nvidia_v100_sxm2"),
        ("Tesla V100-PCIE-32GB", "nvidia_v100_pcie"),
        ("NVIDIA A10", "nvidia_a10"),
        ("NVIDIA GeForce RTX 3090", "nvidia_rtx_3090"),
        ("NVIDIA GeForce RTX 4090", "nvidia_rtx_4090"),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA L40", None),
    ],
)
def test_gpus_are_told_apart_by_the_drivers_names(
    targets: HardwareTargets, driver: Callable[..., None], name: str, expected: str | None
) -> None:
    driver(a=name)
    found = [each.name for each in targets.values() if each.is_a("cuda") and why_absent(each) is None]
    assert found == ["cuda", *([expected] if expected else [])]
