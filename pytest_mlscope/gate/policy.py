"""What the manifest's ``gate`` makes of a verdict: a failure, a warning, an accepted regression, or nothing."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_mlscope.cases import Plan
from pytest_mlscope.gate.rounds import LOAD_TIME_EFFECT, MEMORY_EFFECT, Rules
from pytest_mlscope.manifest import (
    AcceptedRegression,
    GatedQuantity,
    GatePolicy,
    MetricPolicy,
    RatioPolicy,
    criteria,
    place_of,
    selects,
)
from pytest_mlscope.records import ComparedOutcome, Outcome, Ruling

SMALLEST_EFFECTS: dict[GatedQuantity, float] = {
    "latency": Rules.minimum_effect,
    "peak_memory": MEMORY_EFFECT,
    "load_time": LOAD_TIME_EFFECT,
}
"""Relative differences that matter, where neither the manifest nor the command line says."""


RATIOS: tuple[GatedQuantity, ...] = ("latency", "peak_memory", "load_time")
"""What is compared as a ratio, in the tests of latency."""


@dataclass(frozen=True)
class Acceptance:
    """A regression of some case that the manifest accepts."""

    entry: AcceptedRegression
    place: str
    """``file:line:column``."""


@dataclass(frozen=True)
class Policy:
    """The gate's policy for one case."""

    gate: GatePolicy = field(default_factory=GatePolicy)
    acceptances: Sequence[Acceptance] = ()
    """Those that apply to the case."""
    first_metric: str | None = None
    """The manifest's first metric, whose policy is that of predictions compared row by row."""
    minimum_effect: float | None = None
    """Of latency, where the command line says."""
    today: datetime.date = field(default_factory=datetime.date.today)

    @classmethod
    def of(cls, plan: Plan, *, minimum_effect: float | None = None) -> Policy:
        """That of the candidate's manifest."""
        manifest = plan.manifest
        acceptances = [
            Acceptance(entry, place_of(manifest, ("gate", "accepted", index)))
            for index, entry in enumerate(manifest.content.gate.accepted)
            if entry.when is None or selects(criteria(entry.when), plan.case.cell)
        ]
        first = manifest.metrics[0].name if manifest.metrics else None
        return cls(manifest.content.gate, acceptances, first, minimum_effect)

    def smallest_effect(self, quantity: GatedQuantity) -> float:
        """The relative difference of latency, peak memory or load time that matters."""
        if quantity == "latency" and self.minimum_effect is not None:
            return self.minimum_effect
        stated: RatioPolicy = getattr(self.gate, quantity)
        return SMALLEST_EFFECTS[quantity] if stated.smallest_effect is None else stated.smallest_effect

    def accepted_loss(self, metric: str | None = None) -> float:
        """The largest loss of a metric that passes, relative to the baseline's value; ``None``: of predictions."""
        return self._of_metric(metric).loss

    def ignores(self, quantity: GatedQuantity, metric: str | None = None) -> bool:
        """Whether a quantity is not to be compared."""
        return self._on_regression(quantity, metric) == "ignore"

    def ignored(self, quantity: GatedQuantity, metric: str | None = None) -> Ruling:
        """Says so in the report."""
        name = metric or quantity.replace("_", " ")
        return Ruling("ignored", quantity, f"{name} is not compared: the manifest's gate ignores it", metric=metric)

    def ruled(
        self, quantity: GatedQuantity, outcome: Outcome, *, size: float | None, metric: str | None = None
    ) -> tuple[ComparedOutcome, list[Ruling]]:
        """What a verdict comes to, and why.

        :param size: by how much the quantity is worse, relative to the baseline; ``None`` where that is not known.
        :param metric: which metric, of accuracy; ``None`` of predictions compared row by row.
        """
        rulings: list[Ruling] = []
        result: ComparedOutcome = outcome
        for acceptance in self.acceptances:
            ruling = self._by_acceptance(acceptance, quantity, outcome, size, metric)
            if ruling is None:
                continue
            rulings.append(ruling)
            if ruling.kind == "accepted":
                result = "accepted"
        if result == "regression" and self._on_regression(quantity, metric) == "warn":
            result = "warned"
            name = metric or quantity.replace("_", " ")
            text = f"a regression of {name} only warns, as the manifest's gate says"
            rulings.append(Ruling("warned", quantity, text, metric=metric))
        return result, rulings

    def _by_acceptance(
        self, acceptance: Acceptance, quantity: GatedQuantity, outcome: Outcome, size: float | None, metric: str | None
    ) -> Ruling | None:
        entry = acceptance.entry
        if entry.quantity != quantity or entry.metric not in (None, metric or self.first_metric):
            return None
        name = entry.metric or quantity.replace("_", " ")
        until = entry.until.isoformat()

        def ruling(kind: Any, text: str) -> Ruling:
            return Ruling(kind, quantity, text, metric=metric, reason=entry.reason, until=until, place=acceptance.place)

        if self.today > entry.until:
            ended = f"a regression of {name} was accepted until {until} ({entry.reason})"
            return ruling("ended", f"{acceptance.place}: {ended}; take the entry out, or agree on another day")
        if outcome == "regression":
            # Not written with >, so that NaN is beyond the limit too.
            if entry.at_most is not None and (size is None or not size <= entry.at_most):
                beyond = f"a regression of {name} is accepted up to {entry.at_most * 100:g}% of the baseline's value"
                return ruling("exceeded", f"{acceptance.place}: {beyond}, and {_beyond(size, entry.at_most)}")
            how_large = (
                "" if size is None or not math.isfinite(size) else f" by {size * 100:.3g}% of the baseline's value"
            )
            limit = "" if entry.at_most is None else f" (up to {entry.at_most * 100:g}%)"
            return ruling(
                "accepted", f"a regression of {name}{how_large} is accepted{limit} until {until}: {entry.reason}"
            )
        if outcome == "inconclusive":
            # It may be there, and be needed.
            return None
        return ruling("not needed", f"{acceptance.place}: no regression of {name} to accept; take the entry out")

    def _on_regression(self, quantity: GatedQuantity, metric: str | None) -> str:
        stated = self._of_metric(metric) if quantity == "accuracy" else getattr(self.gate, quantity)
        return str(stated.on_regression)

    def _of_metric(self, metric: str | None) -> MetricPolicy:
        return self.gate.accuracy.get(metric or self.first_metric or "", MetricPolicy())


def _beyond(size: float | None, limit: float) -> str:
    """How large a regression is that is beyond what is accepted, with as many digits as that takes to see."""
    if size is None or not math.isfinite(size):
        return "how large this one is, is not known"
    texts = (f"{size * 100:.{digits}g}" for digits in (3, 6, 17))
    return f"this one is {next(text for text in texts if float(text) / 100 > limit or len(text) > 8)}%"


NO_POLICY = Policy()
"""That of a manifest without ``gate``."""
