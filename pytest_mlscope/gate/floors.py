"""The A/A floor of a machine and case: how far apart pairs of the same program have been seen there."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mlscope.cases import Case
from pytest_mlscope.files import replacing
from pytest_mlscope.gate.sequential import DEFAULT_FLOOR
from pytest_mlscope.machine import file_lock, machine_facts, writable_folder

FEWEST_PAIRS = 40
"""Fewer pairs do not say what one in twenty is."""
LEAST = 0.01
"""No floor is taken for lower: what was quiet during an audit need not stay so."""

_FILE = "floors.json"


def floor_of(log_ratios: Sequence[float]) -> float | None:
    """The relative difference that 95 % of these A/A pairs stay within; ``None`` for fewer than 40.

    >>> round(floor_of([0.02, -0.02] * 20), 4)
    0.0202
    """
    if len(log_ratios) < FEWEST_PAIRS:
        return None
    # The higher of two neighbours, since a floor that is too low raises false alarms.
    return max(LEAST, math.expm1(float(np.quantile(np.abs(log_ratios), 0.95, method="higher"))))


def _key(case: Case) -> str:
    """Machine and case. Another version of the framework or model is the same kind of program here."""
    facts = machine_facts()
    machine: list[object] = [facts["hostname"], facts["cpu_identity"], facts["usable_cores"], facts["kernel"]]
    if facts["cpu_quota"] is not None:
        machine.append(facts["cpu_quota"])
    cell = [case.model, case.framework, case.hardware, case.precision, case.threads, case.batch_size]
    return hashlib.sha256(json.dumps([machine, cell, case.scenario]).encode()).hexdigest()[:24]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        # A cache: what cannot be read is measured again by the next audit.
        return {}
    return content if isinstance(content, dict) else {}


def learned_floor(case: Case, *, home: Path) -> float | None:
    """What an audit found here, as a relative difference; ``None`` when none was made."""
    entry = _read(home / _FILE).get(_key(case))
    floor = entry.get("floor") if isinstance(entry, dict) else None
    return float(floor) if isinstance(floor, (int, float)) and 0 < floor < 10 else None


def floor_for(case: Case, *, home: Path) -> float:
    """The learned floor, else the default."""
    learned = learned_floor(case, home=home)
    return DEFAULT_FLOOR if learned is None else learned


def keep_floor(case: Case, log_ratios: Sequence[float], *, home: Path) -> float | None:
    """Store what an audit's A/A pairs say; returns the floor, or ``None`` when they are too few.

    :raises MlscopeError: when the cache cannot be written to.
    """
    floor = floor_of(log_ratios)
    if floor is None:
        return None
    writable_folder(home)
    path = home / _FILE
    # Audits of several cases share the file, and each rewrites all of it.
    with file_lock(home / f".{_FILE}.lock"):
        content = _read(path)
        content[_key(case)] = {
            "floor": floor,
            "pairs": len(log_ratios),
            "model": case.model,
            "case": case.id,
        }
        with replacing(path) as file:
            file.write(json.dumps(content, indent=1))
    return floor
