"""Rounds of fresh hosts: each starts baseline and candidate anew once and measures a pair of every undecided case."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.gate.multiplicity import holm_levels
from pytest_mlscope.gate.pairs import BASELINE, CANDIDATE, OpenBlocks, Pair, SideError, failures_of, measure_pair
from pytest_mlscope.gate.sequential import DEFAULT_FLOOR, EARLY_PAIRS, LEVEL, Verdict, decide, p_value
from pytest_mlscope.hosts import HostClient, HostPool, ModelLoader, ReadyModel
from pytest_mlscope.machine import Affinity, least_busy_cpu, needs_one_cpu
from pytest_mlscope.measurements import check_timed_path, first_rows, rows_in_a_sample

MEMORY_EFFECT = 0.05
LOAD_TIME_EFFECT = 0.10
"""Relative differences of peak memory and of load time that matter."""
MEMORY_FLOOR = DEFAULT_FLOOR
LOAD_TIME_FLOOR = 0.5
"""What their A/A pairs seldom exceed, even where other programs take the CPU: a few pairs beyond it are enough."""
RESOURCES = 2
"""Compared beside latency."""
MOST_PAIRS = 100
PROGRESS_INTERVAL = 10.0
"""Seconds between two lines that say how far the rounds are."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a comparison is decided."""

    minimum_effect: float = 0.03
    """The relative difference of latency that matters."""
    seconds: float = 20.0
    """Time for a case, after which it is inconclusive; but fewer than ``EARLY_PAIRS`` pairs could decide nothing."""
    floor: float = DEFAULT_FLOOR
    """The relative difference that 95 % of A/A pairs stay within."""
    memory_effect: float | None = MEMORY_EFFECT
    """The relative difference of peak memory that matters; ``None`` where it is not compared."""
    load_time_effect: float | None = LOAD_TIME_EFFECT
    """The same of the time to load the model."""


@dataclass
class Contest:
    """One case measured against its baseline."""

    baseline: Plan
    candidate: Plan
    rules: Rules
    slowdowns: tuple[float | None, float | None] = (None, None)
    """Injected into baseline and candidate, for audits."""
    pairs: list[Pair] = field(default_factory=list)
    seconds: float = 0.0
    """Spent so far, starting hosts included."""
    latency: Verdict | None = None
    memory: Verdict | None = None
    load_time: Verdict | None = None
    failure: MlscopeError | None = None
    failed_side: int | None = None
    """``BASELINE`` or ``CANDIDATE``."""
    decided: bool = False

    @property
    def log_ratios(self) -> list[float]:
        return [pair.log_ratio for pair in self.pairs]

    def fail(self, failed: SideError) -> None:
        """No further pair. A baseline that fails once latency is decided takes nothing back."""
        self.decided = True
        if failed.side == CANDIDATE or self.latency is None:
            self.failure, self.failed_side = failed.error, failed.side

    def judge(self, *, level: float, family: int) -> None:
        """Decide what the pairs so far suffice for, and all of it when time is up.

        :param level: of latency, by Holm.
        :param family: how many comparisons of latency there are.
        """
        count = len(self.pairs)
        last = count >= MOST_PAIRS or (count >= EARLY_PAIRS and self.seconds >= self.rules.seconds)
        self.latency = self.latency or decide(
            self.log_ratios,
            minimum_effect=self.rules.minimum_effect,
            floor=self.rules.floor,
            last=last,
            level=level,
            family=family,
        )
        if self.latency is None:
            return
        self.decided = True
        if (effect := self.rules.load_time_effect) is not None:
            loads = [math.log(each.load_seconds[CANDIDATE] / each.load_seconds[BASELINE]) for each in self.pairs]
            self.load_time = self.load_time or self._resource(loads, effect, LOAD_TIME_FLOOR, last, family)
            self.decided = self.load_time is not None
        peaks = [each.peak_memory for each in self.pairs]
        known = [math.log(peak[CANDIDATE] / peak[BASELINE]) for peak in peaks if peak is not None and min(peak) > 0]
        if len(known) == count and (effect := self.rules.memory_effect) is not None:
            self.memory = self.memory or self._resource(known, effect, MEMORY_FLOOR, last, family)
            self.decided = self.decided and self.memory is not None

    def _resource(
        self, log_ratios: list[float], minimum_effect: float, floor: float, last: bool, family: int
    ) -> Verdict | None:
        """Peak memory or load time: decided with latency, unless it looks worse. Then only pairs of its own decide.

        Against Bonferroni's level: what continues was chosen by how bad it looks.
        """
        worse = statistics.median(log_ratios) > math.log1p(minimum_effect)
        is_red = self.latency is not None and self.latency.outcome == "regression"
        return decide(
            log_ratios,
            minimum_effect=minimum_effect,
            floor=floor,
            last=last or is_red or not worse,
            level=LEVEL / (RESOURCES * family),
            family=RESOURCES * family,
        )


def _opened(ready: ReadyModel, *, slowdown: float | None, check: bool) -> OpenBlocks:
    blocks = OpenBlocks(ready, first_rows(ready, rows_in_a_sample(ready.plan)), slowdown=slowdown)
    if check:
        check_timed_path(ready, blocks.timed_path)
    return blocks


def _pair(contest: Contest, loader: ModelLoader, pools: Sequence[HostPool], cpu: Affinity, coin: random.Random) -> Pair:
    sides = [(contest.baseline, pools[BASELINE]), (contest.candidate, pools[CANDIDATE])]
    # Two CPUs of a machine can differ by half for minutes, when one has more to do, for another tenant perhaps.
    together = all(needs_one_cpu(plan) for plan, _ in sides)
    hosts = []
    deadline = loader.deadline()
    for side, (plan, pool) in enumerate(sides):
        with failures_of(side):
            hosts.append(loader.start_host(plan, pool, deadline))
    # Both sides start and import at the same time, since each pair waits for it.
    for come_up in (HostClient.greet, HostClient.wait_until_started):
        for side, host in enumerate(hosts):
            with failures_of(side):
                come_up(host)
    for host in hosts:
        host.pin(cpu if together else None)
    # Which side is loaded and warmed up first is chance too.
    first = coin.randrange(2)
    order = (first, 1 - first)
    ready: dict[int, ReadyModel] = {}
    for side in order:
        plan, pool = sides[side]
        with failures_of(side):
            ready[side] = loader.ready(plan, pool=pool, deadline=deadline)
    opened: dict[int, OpenBlocks] = {}
    for side in order:
        with failures_of(side):
            # Every pair binds the same model and rows, so the check of the first pair serves them all.
            opened[side] = _opened(ready[side], slowdown=contest.slowdowns[side], check=not contest.pairs)
    loads = (ready[BASELINE].load_seconds, ready[CANDIDATE].load_seconds)
    return measure_pair(opened[BASELINE], opened[CANDIDATE], load_seconds=loads, coin=coin)


def _judge(contests: Sequence[Contest], family: int) -> None:
    """Judge what is undecided at Holm's levels, given everything known so far."""
    measured = [contest for contest in contests if contest.pairs]
    p_values = [p_value(contest.log_ratios) for contest in measured]
    for contest, level in zip(measured, holm_levels(p_values, family=family, level=LEVEL), strict=True):
        if not contest.decided:
            contest.judge(level=level, family=family)


def run_rounds(
    contests: Sequence[Contest],
    loader: ModelLoader,
    *,
    family: int | None = None,
    seed: int = 0,
) -> None:
    """Measure pairs until every contest is decided, in rounds in which all share the restarts.

    A contest that fails is decided by its failure; the others go on. The device must be ours alone.

    :param family: how many comparisons the run makes in all, these included; as many as these when absent.
    """
    family = max(family or 1, len(contests))
    coin = random.Random(seed)  # noqa: S311 - orders, no secrets
    told = time.monotonic()
    for number in range(MOST_PAIRS):
        undecided = [contest for contest in contests if not contest.decided]
        if not undecided:
            return
        if number and time.monotonic() - told >= PROGRESS_INTERVAL:
            told = time.monotonic()
            loader.settings.recorder.progress(
                f"comparing: round {number + 1}, {len(undecided)} of {len(contests)} cases undecided"
            )
        with ExitStack() as stack:
            cpu = least_busy_cpu(coin)
            pools = [HostPool(), HostPool()]
            for pool in pools:
                # Killed and not closed: closing would wait for each host in each round.
                stack.callback(pool.kill)
            # Cases of one framework after each other, as a pool keeps few hosts.
            for contest in sorted(
                undecided, key=lambda each: (each.candidate.case.framework, each.candidate.case.version or "")
            ):
                began = time.monotonic()
                try:
                    pair = _pair(contest, loader, pools, cpu, coin)
                except SideError as failed:
                    contest.fail(failed)
                else:
                    contest.pairs.append(pair)
                    contest.seconds += time.monotonic() - began
        _judge(contests, family)
