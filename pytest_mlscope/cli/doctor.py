"""``mlscope doctor``: what this machine can do, and what keeps it from doing more."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mlscope.cli.folding import first_few, folded, terminal_width
from pytest_mlscope.cli.parsers import Commands, add_command, add_home, home_of

if TYPE_CHECKING:
    from pytest_mlscope.environments import Diagnosis

_DETAILS = """\
Each line is ok, a warning, or a problem that stops the product from working; what to do stands behind the arrow.
The exit status is 1 when there is a problem."""


def add_to(commands: Commands) -> None:
    """Add ``doctor``."""
    add_home(add_command(commands, "doctor", "check this machine", _run, _DETAILS))


def _frameworks(home: Path, project: Path) -> Iterator[Diagnosis]:
    from pytest_mlscope.cli.framework_choice import known_frameworks
    from pytest_mlscope.environments import Diagnosis, framework_state
    from pytest_mlscope.errors import MlscopeError

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
    from pytest_mlscope.components import (
        HardwareFile,
        HardwareTargets,
        ProviderPresent,
        named_components,
        pytest_mlscope_register_hardware_targets,
    )
    from pytest_mlscope.environments import Diagnosis
    from pytest_mlscope.errors import HardwareError
    from pytest_mlscope.machine import why_absent

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


def _run(options: argparse.Namespace) -> int:
    from pytest_mlscope.environments import diagnose_machine

    home, project = home_of(options), Path.cwd()
    width = terminal_width()
    counts = {"ok": 0, "warning": 0, "problem": 0}
    for findings in (diagnose_machine(home), _frameworks(home, project), _hardware(project)):
        for finding in findings:
            counts[finding.severity] += 1
            advice = f" → {finding.advice}" if finding.advice else ""
            text = finding.text.replace("\n", "; ")
            # One by one, for some of them take seconds.
            line = f"{finding.severity:<8} {finding.subject}: {text}{advice}"
            print(folded(line, width=width, indent=len(f"{'':<8} ")), flush=True)
    plural = {"warning": "warnings", "problem": "problems"}
    told = [
        f"{count} {name if count == 1 else plural[name]}" for name, count in counts.items() if count and name != "ok"
    ]
    print(", ".join(told) or "all well")
    return 1 if counts["problem"] else 0
