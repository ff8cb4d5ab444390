"""Power, utilisation, memory and clock of an NVIDIA GPU, as its driver reports them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from pytest_mlscope.components.profilers.base import MeasuredWindow, Profiler, Reading
from pytest_mlscope.components.profilers.sampling import Sampler, Samples, summarise

_INTERVAL = 0.05
_QUANTITIES = {"gpu power": "W", "gpu utilisation": "%", "gpu memory": "B", "gpu sm clock": "MHz"}


class NvmlProfiler(Profiler):
    """Samples the GPU every 50 ms: power, utilisation, memory in use and SM clock, of the whole device.

    The driver averages power and utilisation over up to a second of its own. A ``cuda`` case without nvidia-ml-py or
    a driver has readings that say why they are not available; a case on hardware that is no ``cuda`` has none.
    """

    name = "nvml"

    def __init__(self) -> None:
        self._sampler: Sampler | None = None
        self._nvml: Any = None
        self._sensors: dict[str, Callable[[], float]] = {}
        self._samples: dict[str, Samples] = {quantity: [] for quantity in _QUANTITIES}
        self._concerned = False
        self._absent = dict.fromkeys(_QUANTITIES, "the window was too short to sample")

    def start(self, window: MeasuredWindow) -> None:
        self._concerned = "cuda" in (window.hardware, *window.lineage)
        if not self._concerned:
            return
        try:
            import pynvml
        except ImportError:
            self._all_absent("needs nvidia-ml-py; to enable: pip install 'pytest-mlscope[nvidia]'")
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._all_absent(str(error))
            return
        self._nvml = pynvml
        try:
            device = _device(pynvml, window.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        except (pynvml.NVMLError, LookupError) as error:
            self._all_absent(str(error))
            return
        self._sensors = {
            "gpu power": lambda: pynvml.nvmlDeviceGetPowerUsage(device) / 1000,  # milliwatts
            "gpu utilisation": lambda: float(pynvml.nvmlDeviceGetUtilizationRates(device).gpu),
            "gpu memory": lambda: float(pynvml.nvmlDeviceGetMemoryInfo(device).used),
            "gpu sm clock": lambda: float(pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_SM)),
        }
        self._sampler = Sampler(self._sample, interval=_INTERVAL, name="mlscope-nvml")

    def _all_absent(self, reason: str) -> None:
        self._absent = dict.fromkeys(_QUANTITIES, reason)

    def _sample(self, seconds: float) -> bool:
        # A copy, since a sensor may be taken out on the way.
        for quantity, sensor in list(self._sensors.items()):
            try:
                self._samples[quantity].append((seconds, sensor()))
            except self._nvml.NVMLError as error:
                self._absent[quantity] = str(error)
                # A sensor that this GPU lacks fails each time; the others go on.
                del self._sensors[quantity]
        return bool(self._sensors)

    def stop(self) -> Sequence[Reading]:
        if not self._concerned:
            return []
        if self._sampler is not None:
            self._sampler.stop()
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
        return [
            reading
            for quantity, unit in _QUANTITIES.items()
            for reading in summarise(quantity, unit, self._samples[quantity], absent=self._absent[quantity])
        ]


def _device(nvml: Any, device: str, visible: str | None) -> Any:
    """The handle of the framework's device, such as ``cuda:1``, among those ``CUDA_VISIBLE_DEVICES`` lets it see.

    :raises LookupError: when that variable hides it, or nothing tells which GPU it is.
    """
    match = re.search(r":(\d+)$", device)
    number = int(match[1]) if match else 0
    if visible is None:
        return _numbered(nvml, number)
    entries = [entry.strip() for entry in visible.split(",") if entry.strip()]
    if number >= len(entries):
        raise LookupError(f"CUDA_VISIBLE_DEVICES={visible} has no device {number}")
    entry = entries[number]
    return _numbered(nvml, int(entry)) if entry.isdecimal() else nvml.nvmlDeviceGetHandleByUUID(entry)


def _numbered(nvml: Any, number: int) -> Any:
    """The handle of what CUDA calls by a number. Raises as :func:`_device`."""
    # CUDA puts the fastest first unless told otherwise, NVML goes by the PCI bus: numbers of unlike GPUs may differ.
    if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
        names = dict.fromkeys(str(nvml.nvmlDeviceGetName(handle)) for handle in handles)
        if len(names) > 1:
            raise LookupError(
                f"the GPUs differ ({', '.join(names)}), and CUDA numbers them in an order of its own; set "
                "CUDA_DEVICE_ORDER=PCI_BUS_ID, or list UUIDs in CUDA_VISIBLE_DEVICES (nvidia-smi -L shows them)"
            )
    return nvml.nvmlDeviceGetHandleByIndex(number)
