"""The gate, audited: how often it is wrong on this machine, beside the rule it replaces."""

from __future__ import annotations

import math
import random
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pytest_mlscope.cases import Plan
from pytest_mlscope.gate.pairs import OpenBlocks
from pytest_mlscope.gate.rounds import MOST_PAIRS, Contest, Rules, run_rounds
from pytest_mlscope.gate.sequential import EARLY_PAIRS, decide
from pytest_mlscope.hosts import HostPool, ModelLoader
from pytest_mlscope.measurements import first_rows, rows_in_a_sample
from pytest_mlscope.statistics import wilson_interval

SEPARATE_RUNS_FAIL_AT = 0.05
"""Slowdown at which the rule that the gate is compared with fails two separate runs."""
SEPARATE_RUN_SECONDS = 0.5
SEPARATE_RUNS_EVERY = 2
"""In every second trial of an effect: the rule's rates are far from 0 and 1, where fewer trials tell as much."""
FEWEST_AUDIT_PAIRS = 20
"""Fewer do not say what the gate would catch."""
_GRID = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
_COMPARISONS, _FEWER_COMPARISONS = 400, 100
"""Resampled for each slowdown that is tried, and for the interval."""
_OUTER_RESAMPLES = 39
"""Of which the least and the greatest bound 95 %."""
LARGEST_EFFECT = _GRID[-1]


@dataclass(frozen=True)
class Trial:
    """One comparison whose truth is known."""

    effect: float
    """The slowdown injected into the candidate, as a fraction; 0 for A/A."""
    outcome: str
    ratio: float
    seconds: float
    log_ratios: tuple[float, ...]
    separate_runs_ratio: float | None
    """Candidate over baseline by two processes, each alone, one after the other."""
    load_time: str | None = None
    """What the same pairs said of load time, which no trial injects anything into; ``None`` where it was not noted."""
    peak_memory: str | None = None
    """Likewise of peak memory; ``None`` also where hosts cannot tell it."""


@dataclass
class Audit:
    """Trials so far."""

    rules: Rules
    trials: list[Trial] = field(default_factory=list)

    def of(self, effect: float) -> list[Trial]:
        return [trial for trial in self.trials if trial.effect == effect]

    def pairs(self) -> list[float]:
        """Log ratios of all A/A pairs."""
        return [ratio for trial in self.of(0.0) for ratio in trial.log_ratios]

    def trials_for(self, pairs: int) -> int:
        """About how many trials of each effect make so many A/A pairs."""
        return math.ceil(pairs * len(self.of(0.0)) / max(1, len(self.pairs())))


@dataclass(frozen=True)
class Rate:
    """A share of trials with its Wilson 95 % interval."""

    count: int
    n: int

    @property
    def share(self) -> float:
        return self.count / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.count, self.n)

    @property
    def counted(self) -> str:
        """In few columns: the count and the interval."""
        low, high = self.interval
        return f"{self.count}/{self.n} {low * 100:.1f}–{high:.1%}"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count}/{self.n} = {self.share:.1%} ({low:.1%}–{high:.1%})"


def alarms(trials: Sequence[Trial]) -> Rate:
    """How often the gate called a regression."""
    return Rate(sum(trial.outcome == "regression" for trial in trials), len(trials))


def side_alarms(trials: Sequence[Trial], quantity: str) -> Rate | None:
    """How often the gate called ``load_time`` or ``peak_memory`` a regression, which is always wrong; ``None`` where
    no trial tells.
    """
    outcomes = [outcome for trial in trials if (outcome := getattr(trial, quantity)) is not None]
    return Rate(sum(outcome == "regression" for outcome in outcomes), len(outcomes)) if outcomes else None


def separate_runs_alarms(trials: Sequence[Trial]) -> Rate:
    """How often two separate runs compared at 5 % would have."""
    ratios = [trial.separate_runs_ratio for trial in trials if trial.separate_runs_ratio is not None]
    return Rate(sum(ratio > 1 + SEPARATE_RUNS_FAIL_AT for ratio in ratios), len(ratios))


def _slowed_median(plan: Plan, loader: ModelLoader, slowdown: float) -> float:
    """Median of one window in a process alone, seconds."""
    pool = HostPool()
    try:
        ready = loader.ready(plan, pool=pool)
        blocks = OpenBlocks(ready, first_rows(ready, rows_in_a_sample(plan)), slowdown=slowdown)
        return blocks.median_call(max(3, round(SEPARATE_RUN_SECONDS / blocks.call_seconds)))
    finally:
        pool.kill()


def run_trial(
    plan: Plan, loader: ModelLoader, *, rules: Rules, effect: float, seed: int, separate_runs: bool = True
) -> Trial:
    """Compare the case with itself, slowed by ``effect``.

    :raises MlscopeError: when it fails.
    """
    ratio = None
    if separate_runs:
        baseline = _slowed_median(plan, loader, 0.0)
        ratio = _slowed_median(plan, loader, effect) / baseline
    # The baseline is wrapped too, or the cost of the wrapper itself would count as a slowdown.
    contest = Contest(plan, plan, rules, slowdowns=(0.0, effect))
    began = time.monotonic()
    run_rounds([contest], loader, seed=seed)
    seconds = time.monotonic() - began
    if contest.failure is not None:
        raise contest.failure
    verdict = contest.latency
    if verdict is None:
        raise RuntimeError("the comparison ended without a verdict")
    log_ratios = tuple(pair.log_ratio for pair in contest.pairs)
    load_time, peak_memory = (each.outcome if each else None for each in (contest.load_time, contest.memory))
    return Trial(effect, verdict.outcome, verdict.ratio, seconds, log_ratios, ratio, load_time, peak_memory)


def run_audit(
    plan: Plan,
    loader: ModelLoader,
    audit: Audit,
    *,
    effects: Sequence[float],
    trials: int,
) -> Iterator[Trial]:
    """Add trials until there are so many of each effect, in turns, so that all meet the same moods of the machine.

    Each is given once it is among the audit's.

    :raises MlscopeError: when one fails; those made before are in the audit.
    """
    for number in range(trials):
        for effect in effects:
            if len(audit.of(effect)) > number:
                continue
            # From the trial alone, so that a resumed audit draws what an uninterrupted one would.
            seed = number * 1000 + round(effect * 1000)
            separate_runs = number % SEPARATE_RUNS_EVERY == 0
            audit.trials.append(
                run_trial(plan, loader, rules=audit.rules, effect=effect, seed=seed, separate_runs=separate_runs)
            )
            yield audit.trials[-1]


@dataclass(frozen=True)
class Detectable:
    """A slowdown, as a fraction; infinite where the largest that is tried is not enough."""

    effect: float
    interval: tuple[float, float]
    """95 %, by resampling the A/A pairs."""


def _is_detected(
    pairs: Sequence[float], effect: float, *, comparisons: int, most: int, rules: Rules, random_: random.Random
) -> bool:
    """Whether 99 % of comparisons detect it."""
    missed = 0
    for _ in range(comparisons):
        drawn: list[float] = []
        verdict = None
        while verdict is None:
            drawn.append(random_.choice(pairs) + math.log1p(effect))
            verdict = decide(drawn, minimum_effect=rules.minimum_effect, floor=rules.floor, last=len(drawn) >= most)
        missed += verdict.outcome != "regression"
        if missed > comparisons // 100:
            return False
    return True


def minimum_detectable_effect(
    audit: Audit, *, seed: int = 0, outer_resamples: int = _OUTER_RESAMPLES
) -> Detectable | None:
    """The smallest slowdown that the gate catches in 99 % of comparisons, by resampling the audit's A/A pairs.

    Pairs are drawn with replacement, shifted by the slowdown, and decided as the gate would within its time. For the
    interval, the same is done with pairs that were drawn from the audit's.

    :return: of a grid from 0.5 % to 30 %; ``None`` when there are too few pairs.
    """
    pairs = audit.pairs()
    same = audit.of(0.0)
    if len(pairs) < FEWEST_AUDIT_PAIRS:
        return None
    seconds_a_pair = sum(trial.seconds for trial in same) / len(pairs)
    most = min(MOST_PAIRS, max(EARLY_PAIRS, int(audit.rules.seconds / seconds_a_pair)))
    random_ = random.Random(seed)  # noqa: S311 - resampling, no secret

    def smallest(pairs: Sequence[float], comparisons: int) -> float:
        def is_detected(effect: float) -> bool:
            return _is_detected(pairs, effect, comparisons=comparisons, most=most, rules=audit.rules, random_=random_)

        # A larger slowdown is caught at least as often, so the grid need not be tried one by one.
        place = bisect_left(_GRID, True, key=is_detected)
        return _GRID[place] if place < len(_GRID) else math.inf

    effect = smallest(pairs, _COMPARISONS)
    others = [smallest(random_.choices(pairs, k=len(pairs)), _FEWER_COMPARISONS) for _ in range(outer_resamples)]
    return Detectable(effect, (min(effect, *others), max(effect, *others)))
