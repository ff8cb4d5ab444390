"""Whether programs of another architecture can be emulated on this machine."""

from __future__ import annotations

import platform

from pytest_mlscope.machine.facts import machine_architecture


def why_no_emulation(architecture: str | None) -> str | None:
    """Why programs of an architecture are not to be emulated here; ``None`` where they can be."""
    here = machine_architecture()
    if architecture == here:
        return f"the processor is {here} itself, so nothing would be emulated; use cpu or cpu_{here}"
    if platform.system() != "Linux":
        return f"QEMU runs single programs on Linux alone, not on {platform.system()}"
    return None
