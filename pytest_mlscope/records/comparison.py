"""What became of a case compared with its baseline."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_mlscope.measurements import Parity
from pytest_mlscope.option_values import StrictPart
from pytest_mlscope.record_fields import Count, Finite, FiniteSeconds, derived

Outcome = Literal["pass", "regression", "improved", "inconclusive"]
ComparedOutcome = Literal[
    "regression", "inconclusive", "warned", "accepted", "improved", "pass", "ignored", "not compared"
]
"""The worst first."""
RulingKind = Literal["warned", "accepted", "exceeded", "ended", "not needed", "ignored"]


@dataclass(frozen=True, kw_only=True)
class RatioComparison:
    """One quantity of both sides, such as peak memory, as a ratio."""

    outcome: Outcome
    """``regression``, ``inconclusive``, ``improved`` or ``pass``."""
    ratio: Finite
    """Candidate over baseline: the exponential of the pairs' median log ratio; against a saved run, of the medians over
    processes."""
    interval: tuple[Finite, Finite] | None
    """95 % interval of the ratio, by signed ranks; ``None`` where there are too few pairs for one."""
    pairs: Count | None
    """Pairs of fresh processes measured; ``None`` against a saved run."""
    p_value: Finite | None
    """Two-sided, of both sides being the same; ``None`` against a saved run where a side has too few processes for a
    test."""
    early: bool
    """Whether every pair was so far out that fewer than usual sufficed."""
    minimum_effect: Finite
    """The relative difference that matters."""
    baseline: Finite | None = None
    """In seconds, or bytes of peak memory: of the pair, or of two blocks beside each other, whose ratio is nearest to
    ``ratio``; against a saved run, its middle median. ``None`` in reports that do not say."""
    candidate: Finite | None = None
    """The same of the candidate."""

    @property
    def is_told(self) -> bool:
        """Whether peak memory or load time is worth a line: few pairs may decide latency and leave these open."""
        looks_worse = self.ratio > 1 + self.minimum_effect
        return self.outcome in ("regression", "improved") or (self.outcome == "inconclusive" and looks_worse)


@dataclass(frozen=True)
class MeasuredPair:
    """One pair of fresh processes."""

    baseline_seconds: FiniteSeconds
    """Median call."""
    candidate_seconds: FiniteSeconds
    """Median call."""
    log_ratio: Finite
    """Median over blocks beside each other of the log of candidate over baseline."""


@dataclass(frozen=True)
class SavedMedians:
    """What a saved run is compared by."""

    bound: Finite
    """The relative difference beyond which two separate runs are told apart."""
    baseline_medians: Sequence[FiniteSeconds]
    """The saved run's medians, one a process."""
    candidate_medians: Sequence[FiniteSeconds]
    """This run's medians, one a process."""


@dataclass(frozen=True, kw_only=True)
class LatencyComparison(RatioComparison):
    """Latency, measured side by side, or against a saved run's."""

    floor: Finite | None = None
    """The relative difference that 95 % of A/A pairs stay within, as learned by mlscope audit, or the default; ``None``
    against a saved run."""
    seconds: FiniteSeconds | None = None
    """Time the comparison took; ``None`` against a saved run."""
    measured: Sequence[MeasuredPair] | None = None
    """The pairs in the order measured; ``None`` against a saved run."""
    separate_runs: SavedMedians | None = None
    """What a saved run is compared by; ``None`` where both sides were measured."""


@dataclass(frozen=True, kw_only=True)
class PredictionsComparison:
    """Predictions of the same rows: McNemar's exact test."""

    outcome: Outcome
    """Of these counts: ``regression``, ``inconclusive``, ``improved`` or ``pass``."""
    both_right: Count
    """Rows that both sides had right."""
    only_baseline_right: Count
    """Rows that only the baseline had right."""
    only_candidate_right: Count
    """Rows that only the candidate had right."""
    both_wrong: Count
    """Rows that neither had right."""
    difference: Finite
    """Accuracy of the candidate less the baseline's."""
    p_value: Finite
    """One-sided, by McNemar's exact test, in the direction seen."""
    changed: Count
    """Rows whose prediction changed."""
    left_out: Count
    """Rows that only one of the two was asked for, and so are in none of these counts."""
    interval: tuple[Finite, Finite] | None = None
    """95 % interval of the difference; ``None`` in reports that do not say."""
    accepted_loss: Finite = 0.0
    """The largest loss that the manifest's gate accepts, relative to the baseline's share of rows it had right."""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both sides, by its values of the rows that both have one of."""

    outcome: Outcome
    """``regression``, ``inconclusive``, ``improved`` or ``pass``."""
    baseline: float
    """The metric over all of the baseline's rows."""
    candidate: float
    """The metric over all of the candidate's rows."""
    test: str
    """What the p-value is of."""
    p_value: Finite
    """One-sided, in the direction of the difference seen."""
    rows: Count
    """Rows compared."""
    left_out: Count
    """Rows of which only one side has a value."""
    loss: float = 0.0
    """How much worse the candidate's value is, relative to the baseline's; negative for a gain."""
    accepted_loss: Finite = 0.0
    """The largest loss that the manifest's gate accepts, relative to the baseline's value."""


@dataclass(frozen=True, kw_only=True)
class ParityComparison(Parity):
    """Raw outputs against the baseline's, which is the reference."""

    reference: str = "the baseline"
    """Framework, version and precision of the baseline, readable."""

    @property
    @derived
    def outcome(self) -> Outcome:
        """``pass`` where the outputs are within the tolerance, else ``regression``."""
        return "pass" if self.within_tolerance else "regression"


@dataclass(frozen=True)
class Ruling:
    """What the manifest's ``gate`` makes of one quantity's verdict, where that is not the usual."""

    kind: RulingKind
    """``warned`` or ``accepted``: a regression does not fail; ``exceeded``: it is beyond what is accepted; ``ended``:
    an acceptance is past its day, and fails; ``not needed``: there is nothing to accept; ``ignored``: not compared."""
    quantity: str
    """``latency``, ``peak_memory``, ``load_time``, ``accuracy`` or ``parity``."""
    text: str
    """In words."""
    metric: str | None = None
    """Which metric, of ``accuracy``; ``None`` of predictions compared row by row."""
    reason: str | None = None
    """Why the regression is accepted; ``None`` where none is."""
    until: str | None = None
    """The last day on which it is, such as ``2027-01-31``."""
    place: str | None = None
    """Where the acceptance stands: file, line and column."""


@dataclass(frozen=True)
class Comparison:
    """One kind of one case, compared with its baseline (``--mlscope-against``)."""

    against: str
    """What the baseline is called."""
    outcome: ComparedOutcome
    """The worst of what the verdicts that are told come to, in this order: ``regression``, ``inconclusive``, ``warned``
    and ``accepted`` (regressions that do not fail), ``improved``, ``pass``; ``ignored`` and ``not compared`` where
    there is none, and ``messages`` says why."""
    messages: tuple[str, ...]
    """One line for each quantity; why there is no comparison where there is none."""
    remark: str | None = None
    """In what the two sides were asked for different things, such as another precision; ``None`` where in nothing."""
    left_open: tuple[str, ...] = ()
    """One line for each quantity that was not compared, beside others that were; also among the messages."""
    command: str | None = None
    """The command that would make a comparison possible, where one would."""
    is_new: bool = False
    """Whether nothing was compared because the baseline has no such case."""
    rulings: tuple[Ruling, ...] = ()
    """What the manifest's ``gate`` changed of this."""
    failed_with: tuple[str, ...] = ()
    """The lines with which it failed the test; which outcomes do depends on options."""
    latency: LatencyComparison | None = None
    """Latency, measured side by side, or against a saved run's; ``None`` where it was not compared."""
    peak_memory: RatioComparison | None = None
    """Peak resident memory of the hosts; ``None`` where it was not compared."""
    load_time: RatioComparison | None = None
    """Time to load the model; ``None`` where it was not compared."""
    accuracy: PredictionsComparison | None = None
    """Predictions of the same rows; ``None`` where they were not compared."""
    metrics: Mapping[str, MetricComparison] = field(default_factory=dict)
    """Each metric that was compared by its values of rows; one that the counts of predictions decide is not there."""
    parity: ParityComparison | None = None
    """Raw outputs against the baseline's; ``None`` where they were not compared."""

    @property
    def ratios(self) -> dict[str, RatioComparison]:
        """Those quantities that were compared as a ratio, by their names."""
        named = (("latency", self.latency), ("peak memory", self.peak_memory), ("load time", self.load_time))
        return {name: ratio for name, ratio in named if ratio is not None}

    @property
    def compares_a_quantity(self) -> bool:
        """Whether there is more than messages."""
        return bool(self.ratios or self.accuracy or self.metrics or self.parity)

    @property
    def is_verdict(self) -> bool:
        """Whether anything was compared."""
        return self.outcome not in ("not compared", "ignored")

    def command_for(self, message: str) -> str | None:
        """The command, for the message that it belongs to; ``None`` for the others, which it would not help."""
        return self.command if self.messages[:1] == (message,) else None

    def failures(self, strict: Collection[StrictPart]) -> tuple[str, ...]:
        """The lines with which it fails a test; none where it does not.

        :param strict: what fails beside a regression.
        """
        part: StrictPart = "not-compared"
        if self.outcome == "inconclusive":
            part = "inconclusive"
        elif self.is_new:
            part = "new"
        ended = tuple(dict.fromkeys(ruling.text for ruling in self.rulings if ruling.kind == "ended"))
        if self.outcome == "regression" or (part in strict and self.outcome in ("inconclusive", "not compared")):
            return self.messages
        return (self.left_open if "not-compared" in strict else ()) + ended
