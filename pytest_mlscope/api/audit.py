"""How often the gate is wrong about a case that is compared with itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_mlscope.api.case_choice import choose_plan
from pytest_mlscope.api.evaluation import load_of_project
from pytest_mlscope.cases import Case
from pytest_mlscope.errors import WrongUse
from pytest_mlscope.gate import (
    Audit,
    Rules,
    busy_processes,
    floor_for,
    keep_floor,
    read_trials,
    run_audit,
    write_audit,
)
from pytest_mlscope.hosts import ModelLoader
from pytest_mlscope.machine import exclusive_lease
from pytest_mlscope.output_files import require_replaceable
from pytest_mlscope.settings import Settings

_KEPT_EVERY = 10
"""Trials after which the file is written anew."""


@dataclass(frozen=True, kw_only=True)
class AuditedCase:
    """What an audit found."""

    case: Case
    audit: Audit
    """All trials."""
    floor: float | None
    """What A/A pairs differ by, which the cache keeps for the gate; ``None`` where there are too few of them."""


def audit_case(
    manifest: Path,
    *,
    settings: Settings,
    case: str | None = None,
    minimum_effect: float,
    seconds: float,
    effects: Sequence[float],
    trials: int,
    busy: int = 0,
    file: Path | None = None,
    resume: bool = False,
    after_trial: Callable[[Audit, int], None] = lambda audit, missing: None,
) -> AuditedCase:
    """Compare a case with itself, slowed or not, over and over, and keep what A/A pairs differ by.

    :param case: its id, as :func:`choose_plan` takes it.
    :param minimum_effect: as of :class:`Rules`, and
    :param seconds: likewise.
    :param effects: slowdowns, as fractions, to try beside none.
    :param trials: of each.
    :param busy: processes that keep a CPU busy meanwhile.
    :param file: where the trials are kept; with ``resume``, those that it has count.
    :param after_trial: called with the trials so far and how many are missing.
    :raises WrongUse: when there is no such manifest or case, or the file is not ours to replace.
    :raises MlscopeError: when a trial fails; the file has those before.
    """
    if resume and file is None:
        raise WrongUse("there are no trials to continue: name the file that has them")
    if file:
        require_replaceable(file, beginning=r'\s*\{\s*"plugin"\s*:', what="an audit's trials")
        if not file.parent.is_dir():
            raise WrongUse(f"{file}: cannot be written: there is no folder {file.parent}")
    if manifest.is_dir():
        raise WrongUse(f"{manifest}: is a folder; give the path of a manifest, NAME.mlscope.yml")
    if not manifest.exists():
        raise WrongUse(f"{manifest}: there is no such file")
    plan = choose_plan(load_of_project(manifest), case)
    floor = floor_for(plan.case, home=settings.home)
    audit = Audit(Rules(minimum_effect=minimum_effect, seconds=seconds, floor=floor))
    if resume and file:
        read_trials(file, audit, plan.case, busy_processes=busy)
    # Slowed trials mean little without A/A trials, so those are always made.
    wanted = [0.0, *effects]

    def keep() -> None:
        if file:
            write_audit(file, audit, plan.case, busy_processes=busy)

    # Before the first trial, so that a path that cannot be written costs no hour of measuring.
    keep()
    loader = ModelLoader(settings)
    try:
        loader.prepare(plan)
        with exclusive_lease("machine", recorder=settings.recorder), busy_processes(busy):
            for _ in run_audit(plan, loader, audit, effects=wanted, trials=trials):
                after_trial(audit, sum(max(0, trials - len(audit.of(effect))) for effect in wanted))
                if len(audit.trials) % _KEPT_EVERY == 0:
                    keep()
    finally:
        loader.close()
        keep()
    learned = keep_floor(plan.case, audit.pairs(), home=settings.home)
    return AuditedCase(case=plan.case, audit=audit, floor=learned)
