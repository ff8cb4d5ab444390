"""The tolerance of a parity comparison: the manifest's, or what this model's own noise on this machine asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.cases import Plan
from pytest_mlscope.errors import HostTimeout, MlscopeError
from pytest_mlscope.hosts import HostPool, Ready
from pytest_mlscope.manifest import ParityExpectation
from pytest_mlscope.measurements.parity.comparison import OutputComparison, default_tolerance
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, chunk_rows, in_step, predict_raw

NOISE_ROWS = 32
"""Rows predicted again to see the noise."""
NOISE_FACTOR = 10
"""How many times the noise that was seen is allowed: few rows do not show the largest."""
MOST_FLOORS = 32
"""A model that differs from itself by more than this many floors is at fault; its noise excuses no more."""

EPSILON = {"fp32": 2.0**-23, "fp16": 2.0**-10, "bf16": 2.0**-7, "int8": 2.0**-7}
"""Distance from 1 to the next number; of ``int8``, a step of a symmetric scale relative to its largest value."""
ROUNDINGS = {"fp32": 256, "fp16": 8, "bf16": 8, "int8": 16}
"""Epsilons of the floor. Rounding errors of n operations add up to about √n epsilons (N. J. Higham, T. Mary, "A new
approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019): in fp32, n = 65,536 terms of
sums; in the narrower, whose sums frameworks keep in 32 bits, n = 64 layers whose outputs are rounded, and in ``int8``
their weights too."""
QUANTISED = "int8"
"""A step is a part of the largest output, so that the floor is relative to that and not to the root mean square."""
MOST_QUANTISED_FLOORS = 2
"""What :data:`MOST_FLOORS` is for ``int8``, whose floor is an eighth of the largest output."""


@dataclass(frozen=True)
class Tolerance:
    """``|a-b| <= abs + rel*|b|``, and where it comes from."""

    abs: float
    rel: float
    source: str
    """``manifest``, ``measured``, ``default``, or of both parts: ``manifest and measured``."""
    for_integers: bool = False
    """Whether the manifest states it for this output by name, so that integers may differ too."""


@dataclass(frozen=True)
class Noise:
    """How far one output of a model was from itself."""

    max_abs: float
    root_mean_square: float
    """Of the output."""
    peak: float = 0.0
    """The output's largest magnitude."""


def _larger(one: Noise, other: Noise) -> Noise:
    return Noise(
        max(one.max_abs, other.max_abs),
        max(one.root_mean_square, other.root_mean_square),
        max(one.peak, other.peak),
    )


def _merged(noises: Sequence[Mapping[str, Noise]]) -> dict[str, Noise]:
    merged: dict[str, Noise] = {}
    for each in noises:
        for name, noise in each.items():
            merged[name] = _larger(merged[name], noise) if name in merged else noise
    return merged


def _precisions(precision: str, resolved: object) -> list[str]:
    return str(resolved).split() if precision == "framework_default" else [precision]


def floor_epsilons(precision: str, resolved: object) -> float:
    """The floor relative to an output's size: of several precisions, as in ``int8 and bf16``, the loosest."""
    named = _precisions(precision, resolved)
    floors = [EPSILON[name] * ROUNDINGS[name] for name in named if name in EPSILON]
    return max(floors, default=EPSILON["fp32"] * ROUNDINGS["fp32"])


def tolerance_from(noise: Noise, floor: float, *, quantised: bool = False) -> Tolerance:
    """Of one output.

    :param floor: as of :func:`floor_epsilons`.
    :param quantised: whether the floor is relative to the largest output.
    """
    least = floor * (noise.peak if quantised else noise.root_mean_square)
    most = MOST_QUANTISED_FLOORS if quantised else MOST_FLOORS
    absolute = min(max(NOISE_FACTOR * noise.max_abs, least), most * least)
    return Tolerance(absolute, floor, "measured")


class Tolerances:
    """Finds tolerances; what it measured is kept, so that a framework, precision and model is measured once."""

    def __init__(self) -> None:
        self._measured: dict[tuple[object, ...], dict[str, Noise]] = {}

    def of(self, plan: Plan, reference: Plan, ready: Ready) -> dict[str, Tolerance]:
        """The tolerance of each output against the reference's, by the manifest's names.

        :raises CannotRun: when either cannot run here.
        :raises HostError: when either fails.
        """
        names = [output.name for output in plan.outputs]
        expected = plan.expectation.parity
        stated = {name: _stated(expected, name) for name in names}
        measured: dict[str, Noise] | None = None
        found = {}
        for name, (absolute, relative, by_name) in stated.items():
            if absolute is not None and relative is not None:
                found[name] = Tolerance(absolute, relative, "manifest", by_name)
                continue
            if measured is None:
                measured = self._noise(plan, reference, ready)
            seen = _seen(plan, reference, measured.get(name), ready)
            given = absolute is not None or relative is not None
            found[name] = Tolerance(
                seen.abs if absolute is None else absolute,
                seen.rel if relative is None else relative,
                f"manifest and {seen.source}" if given else seen.source,
                by_name,
            )
        return found

    def _noise(self, plan: Plan, reference: Plan, ready: Ready) -> dict[str, Noise]:
        """By output; empty where nothing could be predicted a second time."""
        expected = plan.expectation.parity
        rows = NOISE_ROWS if expected is None else min(NOISE_ROWS, expected.rows)
        return _merged(
            [
                self._once("elsewhere", plan, lambda: _between(plan, [plan], ready, rows=rows, fresh=True)),
                self._once(
                    "otherwise", reference, lambda: _between(reference, _otherwise(reference, ready), ready, rows=rows)
                ),
            ]
        )

    def _once(self, how: str, plan: Plan, measure: Callable[[], dict[str, Noise]]) -> dict[str, Noise]:
        # Without threads and batch size: the noise is what these make of one model.
        key = (
            how,
            plan.manifest.path,
            plan.manifest.sha256,
            plan.case.framework,
            plan.case.version,
            plan.case.hardware,
            plan.case.precision,
        )
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]


def _resolved(plan: Plan, ready: Ready) -> object:
    # A precision that was asked for is known without loading the model again.
    if plan.case.precision != "framework_default":
        return plan.case.precision
    return ready(plan).resolved.get("precision")


def _seen(plan: Plan, reference: Plan, noise: Noise | None, ready: Ready) -> Tolerance:
    """What this model's own noise asks for, or the precision's default where none could be measured. The looser
    of both sides' precisions counts.
    """
    sides = [(each.case.precision, _resolved(each, ready)) for each in (reference, plan)]
    if noise is None:
        return Tolerance(*max(default_tolerance(*side) for side in sides), "default")
    floor = max(floor_epsilons(*side) for side in sides)
    return tolerance_from(noise, floor, quantised=any(QUANTISED in _precisions(*side) for side in sides))


def _otherwise(plan: Plan, ready: Ready) -> list[Plan]:
    """The same model in ways that should not matter: another batch size, another number of threads."""
    threads = plan.with_case(threads=2 if plan.case.threads == 1 else 1)
    if ready(plan).pads:
        return [threads]
    return [plan.with_case(batch_size=2 if plan.case.batch_size == 1 else 1), threads]


def _between(plan: Plan, others: list[Plan], ready: Ready, *, rows: int, fresh: bool = False) -> dict[str, Noise]:
    """How far the others are from the case itself at most, by output; empty where none could be run.

    :param fresh: whether each gets a host of its own.
    """
    # A second process under emulation takes minutes, and its arithmetic is the same.
    if fresh and plan.target.emulated:
        return {}
    seen: list[dict[str, Noise]] = []
    pool = HostPool(limit=1) if fresh else None
    with RawOutputs() as outputs:
        first = ready(plan)
        # One chunk size for all of them, so that chunks pair up.
        size = chunk_rows(first)
        for chunk in predict_raw(first, rows=rows, batch_rows=size):
            outputs.append(chunk)
        for other in others:
            try:
                again = predict_raw(ready(other, pool=pool), rows=rows, batch_rows=size)
                seen.append(_difference(again, outputs))
            except HostTimeout:
                raise  # There is one limit for all, so it is not this way alone that takes too long.
            except MlscopeError:
                continue  # What cannot be run another way has no noise of that kind.
            finally:
                if pool is not None:
                    # At once: a fresh host takes memory that the next one may need.
                    pool.close()
    return _merged(seen)


def _stated(expected: ParityExpectation | None, name: str) -> tuple[float | None, float | None, bool]:
    """The absolute and relative tolerance that the manifest gives an output, and whether it does so by its name."""
    if expected is None:
        return None, None, False
    own = expected.outputs.get(name)
    if own is None:
        return expected.abs, expected.rel, False
    # What an output's own entry leaves out is none: beside a stated part, a measured one would widen it unseen.
    return own.abs or 0.0, own.rel or 0.0, True


def _difference(again: Iterator[dict[str, NDArray[Any]]], outputs: RawOutputs) -> dict[str, Noise]:
    comparisons: dict[str, OutputComparison] = {}
    # In step: rows whose outputs have one shape come together, and another process may see other shapes.
    for chunk, first in in_step(again, outputs):
        for name, output in (chunk or {}).items():
            comparison = comparisons.setdefault(name, OutputComparison(0.0, 0.0))
            comparison.update(name, output, (first or {})[name], ranked=False)
    return {
        name: Noise(compared.max_abs, compared.root_mean_square, compared.peak)
        for name, compared in comparisons.items()
        if compared.max_abs is not None
    }
