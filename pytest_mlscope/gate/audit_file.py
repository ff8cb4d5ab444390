"""An audit's trials as a JSON file, written while they are made and continued later."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytest_mlscope import __version__
from pytest_mlscope.cases import Case
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.files import replacing
from pytest_mlscope.gate.audit import Audit, Trial
from pytest_mlscope.machine import machine_facts
from pytest_mlscope.ordinary_files import open_ordinary


def _same(case: Case, busy_processes: int) -> dict[str, Any]:
    """What trials must have in common to be counted together; the rules are looked at apart."""
    facts = machine_facts()
    machine: dict[str, object] = {
        "hostname": facts["hostname"],
        "cpu_identity": facts["cpu_identity"],
        "usable_cores": facts["usable_cores"],
        "kernel": facts["kernel"],
    }
    if facts["cpu_quota"] is not None:
        machine["cpu_quota"] = facts["cpu_quota"]
    return {
        "plugin": __version__,
        "model": case.model,
        "case": case.id,
        "busy_processes": busy_processes,
        **{f"machine.{name}": value for name, value in machine.items()},
    }


def write_audit(path: Path, audit: Audit, case: Case, *, busy_processes: int) -> None:
    """Replace the file.

    :raises MlscopeError: when it cannot be written.
    """
    document = {
        "plugin": __version__,
        "model": case.model,
        "case": case.id,
        "busy_processes": busy_processes,
        "rules": asdict(audit.rules),
        "machine": machine_facts(),
    }
    # A trial a line: the file is compared and kept.
    trials = ",\n".join(json.dumps(asdict(trial)) for trial in audit.trials)
    text = f'{json.dumps(document, indent=1)[:-2]},\n "trials": [\n{trials}\n]}}\n'
    try:
        with replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise MlscopeError(f"{path}: cannot be written: {error.strerror}") from None


def trials_of(document: Any) -> list[Trial]:
    """The trials in a file's content.

    :raises ValueError: when they are not an audit's.
    """
    try:
        return [Trial(**{**entry, "log_ratios": tuple(entry["log_ratios"])}) for entry in document["trials"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"its trials are not an audit's ({error})") from None


def _at(document: dict[str, Any], name: str) -> Any:
    value: Any = document
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_trials(path: Path, audit: Audit, case: Case, *, busy_processes: int) -> None:
    """Add the file's trials to the audit, and take its floor; a file that is not there has none.

    :raises MlscopeError: when it cannot be read, or holds trials of something else.
    """
    try:
        with open_ordinary(path) as stream:
            document = json.load(stream)
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise MlscopeError(f"{path}: cannot be continued: {reason}") from None
    expected = {
        **_same(case, busy_processes),
        # Of memory and loading, an audit has no effects of its own, and files of earlier releases do not name them.
        **{f"rules.{name}": getattr(audit.rules, name) for name in ("minimum_effect", "seconds")},
    }
    for name, value in expected.items():
        if _at(document, name) != value:
            raise MlscopeError(
                f"{path}: cannot be continued: its trials have {name} {_at(document, name)!r}, these {value!r}; "
                "choose another --json, or leave out --resume to replace it"
            )
    try:
        audit.trials.extend(trials_of(document))
        # An audit that ended has left another one in the cache, and these trials were not judged by that.
        audit.rules = replace(audit.rules, floor=float(document["rules"]["floor"]))
    except (KeyError, TypeError, ValueError) as error:
        raise MlscopeError(f"{path}: cannot be continued: {error}") from None
