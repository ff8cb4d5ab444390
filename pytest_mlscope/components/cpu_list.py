"""Lists of CPUs as the kernel writes them: ``0-3,6`` (cpuset(7), "List format")."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_CHARACTERS = 4_096
"""Of a list of CPUs: enough to name each of a thousand."""
CPU_LIST = r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*"


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers, sorted, each once.

    >>> parse_cpu_list("0-3,6")
    (0, 1, 2, 3, 6)

    :raises ValueError: one line, for anything else than a list of CPUs.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"the list of CPUs has {len(text)} characters; allowed: at most {MOST_CHARACTERS}")
    if not re.fullmatch(CPU_LIST, text):
        raise ValueError(f"{text!r:.80} is not a list of CPUs; expected numbers and ranges, such as 0-3,6")
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ValueError(f"{text!r:.80}: the range {part} runs backwards")
        ranges.append((int(first), int(last or first)))
    # Overlapping ranges are merged first: a thousand times 0-99999 are no more CPUs than once.
    cpus: list[int] = []
    for start, end in sorted(ranges):
        cpus.extend(range(max(start, cpus[-1] + 1) if cpus else start, end + 1))
    return tuple(cpus)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest list of these CPUs.

    >>> format_cpu_list([6, 0, 1, 2, 3])
    '0-3,6'
    """
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
