"""What is well and what is not on this machine: itself, its frameworks, its hardware targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_mlscope.api.frameworks import known_frameworks
from pytest_mlscope.components import (
    HardwareFile,
    HardwareTargets,
    ProviderPresent,
    named_components,
    pytest_mlscope_register_hardware_targets,
)
from pytest_mlscope.environments import Diagnosis, diagnose_machine, framework_state
from pytest_mlscope.errors import HardwareError, MlscopeError
from pytest_mlscope.machine import why_absent
from pytest_mlscope.text import first_few


def check_machine(project: Path, home: Path) -> Iterator[Diagnosis]:
    """Look at everything, one by one, for some of it takes seconds."""
    yield from diagnose_machine(home)
    yield from _frameworks(project, home)
    yield from _hardware(project)


def _frameworks(project: Path, home: Path) -> Iterator[Diagnosis]:
    frameworks, malformed = known_frameworks(project)
    usable = False
    for name, folder in frameworks.items():
        subject = f"framework {name}"
        try:
            state = framework_state(folder, home)
        except MlscopeError as error:
            yield Diagnosis("warning", subject, str(error))
            continue
        usable = usable or state.status != "cannot"
        if state.status == "cannot":
            yield Diagnosis("warning", subject, state.reason)
        elif state.status == "can be made":
            yield Diagnosis("ok", subject, f"{state.version} can be made".lstrip(), f"mlscope env create {name}")
        else:
            where = "the current interpreter" if state.status == "current" else "an environment"
            yield Diagnosis("ok", subject, f"{state.version} in {where}, Python {state.python}".lstrip())
    for name, mistake in malformed.items():
        yield Diagnosis("warning", f"framework {name}", str(mistake))
    if not usable:
        yield Diagnosis("problem", "frameworks", "none can be used, so nothing can be evaluated")


def _hardware(project: Path) -> Iterator[Diagnosis]:
    """A line for each target that is here, and one for all that are absent for one reason."""
    files = pytest_mlscope_register_hardware_targets(project)
    targets = HardwareTargets(named_components([files], HardwareFile, "hardware_targets"))
    absent: dict[str, list[str]] = {}
    present, asked = [], []
    for name in targets:
        try:
            reason = why_absent(targets[name])
        except HardwareError as error:
            yield Diagnosis("warning", f"hardware {name}", str(error))
            continue
        if reason is None and isinstance(targets[name].recognise, ProviderPresent):
            asked.append(name)
        elif reason is None:
            present.append(name)
        else:
            absent.setdefault(reason, []).append(name)
    yield Diagnosis("ok", "hardware", f"here: {', '.join(present)}")
    if asked:
        yield Diagnosis("ok", "hardware", f"only the framework's build can tell: {', '.join(asked)}")
    for reason, names in absent.items():
        yield Diagnosis("ok", "hardware", f"not here: {first_few(names)}: {reason}")
