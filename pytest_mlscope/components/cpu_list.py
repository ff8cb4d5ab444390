"""Lists of CPUs as the kernel writes them: ``0-3,6`` (cpuset(7), "List format")."""

from __future__ import annotations

import re
from collections.abc import Iterable

CPU_LIST = r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*"


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers, sorted, each once. :raises ValueError: one line, for anything else than a list of CPUs."""
    if not re.fullmatch(CPU_LIST, text):
        raise ValueError(f"{text!r} is no list of CPUs; expected numbers and ranges, such as 0-3,6")
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ValueError(f"{text!r}: the range {part} runs backwards")
        cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest list of these CPUs."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
