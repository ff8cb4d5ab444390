"""The tolerance of a parity comparison: the manifest's, or what this model's own noise on this machine asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.expectation import expectation_for
from pytest_mlscope.errors import MlscopeError
from pytest_mlscope.hosts.model_loader import ModelLoader
from pytest_mlscope.hosts.pool import HostPool
from pytest_mlscope.measurements.parity.comparison import OutputComparison, default_tolerance
from pytest_mlscope.measurements.parity.raw_outputs import RawOutputs, chunk_rows, predict_raw

NOISE_ROWS = 32
"""Rows predicted again to see the noise."""
NOISE_FACTOR = 10
"""How many times the noise that was seen is allowed: few rows do not show the largest."""
MOST_FLOORS = 32
"""A model that differs from itself by more than this many floors is at fault; its noise excuses no more."""

EPSILON = {"fp32": 2.0**-23, "fp16": 2.0**-10, "bf16": 2.0**-7, "int8": 2.0**-7}
"""Distance from 1 to the next number; of ``int8``, a step of a symmetric scale relative to its largest value."""
ROUNDINGS = {"fp32": 256, "fp16": 8, "bf16": 8, "int8": 8}
"""Epsilons of the floor. Rounding errors of n operations add up to about √n epsilons (N. J. Higham, T. Mary, "A new
approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019): in fp32, n = 65,536 terms of
sums; in the narrower, whose sums frameworks keep in 32 bits, n = 64 layers whose outputs are rounded."""


@dataclass(frozen=True)
class Tolerance:
    """``|a-b| <= abs + rel*|b|``, and where it comes from."""

    abs: float
    rel: float
    source: str
    """``manifest``, ``measured``, ``default``, or of both parts: ``manifest and measured``."""


@dataclass(frozen=True)
class Noise:
    """How far a model's outputs were from themselves."""

    max_abs: float
    root_mean_square: float
    """Of the outputs."""


def floor_epsilons(precision: str, resolved: object) -> float:
    """The floor relative to an output's size: of several precisions, as in ``int8 and bf16``, the loosest."""
    named = str(resolved).split() if precision == "framework_default" else [precision]
    floors = [EPSILON[name] * ROUNDINGS[name] for name in named if name in EPSILON]
    return max(floors, default=EPSILON["fp32"] * ROUNDINGS["fp32"])


def tolerance_from(noise: Noise, floor: float) -> Tolerance:
    """:param floor: as of :func:`floor_epsilons`."""
    least = floor * noise.root_mean_square
    absolute = min(max(NOISE_FACTOR * noise.max_abs, least), MOST_FLOORS * least)
    return Tolerance(absolute, floor, "measured")


class Tolerances:
    """Finds tolerances; what it measured is kept, so that a framework, precision and model is measured once."""

    def __init__(self, loader: ModelLoader) -> None:
        self._loader = loader
        self._measured: dict[tuple[object, ...], Noise | None] = {}

    def of(self, case: Case, reference: Case) -> Tolerance:
        """The tolerance for a case's outputs against the reference's.

        :raises CannotRun: when either cannot run here.
        :raises HostError: when either fails.
        """
        expected = expectation_for(case).parity
        if expected is not None and expected.abs is not None and expected.rel is not None:
            return Tolerance(expected.abs, expected.rel, "manifest")
        resolved = self._loader.ready(case).resolved.get("precision")
        noise = self._noise(case, reference)
        if noise is None:
            found = Tolerance(*default_tolerance(case.precision, resolved), "default")
        else:
            found = tolerance_from(noise, floor_epsilons(case.precision, resolved))
        if expected is None or (expected.abs is None and expected.rel is None):
            return found
        return Tolerance(
            found.abs if expected.abs is None else expected.abs,
            found.rel if expected.rel is None else expected.rel,
            f"manifest and {found.source}",
        )

    def _noise(self, case: Case, reference: Case) -> Noise | None:
        """``None`` where nothing could be predicted a second time."""
        expected = expectation_for(case).parity
        rows = NOISE_ROWS if expected is None else min(NOISE_ROWS, expected.rows)
        seen = [
            self._once("elsewhere", case, lambda: self._between(case, [case], rows=rows, fresh=True)),
            self._once("otherwise", reference, lambda: self._between(reference, self._otherwise(reference), rows=rows)),
        ]
        known = [each for each in seen if each is not None]
        if not known:
            return None
        return Noise(max(each.max_abs for each in known), max(each.root_mean_square for each in known))

    def _once(self, how: str, case: Case, measure: Callable[[], Noise | None]) -> Noise | None:
        key = (
            how,
            case.manifest.path,
            case.manifest.sha256,
            case.framework,
            case.version,
            case.hardware,
            case.precision,
        )
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]

    def _otherwise(self, case: Case) -> list[Case]:
        """The same model in ways that should not matter: another batch size, another number of threads."""
        threads = replace(case, threads=2 if case.threads == 1 else 1)
        if self._loader.ready(case).pads:
            return [threads]
        return [replace(case, batch_size=2 if case.batch_size == 1 else 1), threads]

    def _between(self, case: Case, others: list[Case], *, rows: int, fresh: bool = False) -> Noise | None:
        """How far the others are from the case itself at most; ``None`` where none could be run.

        :param fresh: whether each gets a host of its own.
        """
        # A second process under emulation takes minutes, and its arithmetic is the same.
        if fresh and case.manifest.registry.hardware_targets[case.hardware].emulated:
            return None
        seen: list[Noise] = []
        pool = HostPool(limit=1) if fresh else None
        with RawOutputs() as outputs:
            ready = self._loader.ready(case)
            size = chunk_rows(ready)
            for chunk in predict_raw(ready, rows=rows, batch_rows=size):
                outputs.append(chunk)
            for other in others:
                try:
                    again = predict_raw(self._loader.ready(other, pool=pool), rows=rows, batch_rows=size)
                    seen.append(_difference(again, outputs))
                except MlscopeError:
                    continue  # What cannot be run another way has no noise of that kind.
                finally:
                    if pool is not None:
                        pool.close()
        return max(seen, key=lambda noise: noise.max_abs, default=None)


def _difference(again: Iterator[dict[str, NDArray[Any]]], outputs: RawOutputs) -> Noise:
    comparison = OutputComparison(0.0, 0.0)
    for chunk, first in zip(again, outputs, strict=True):
        for name, output in chunk.items():
            comparison.update(name, output, first[name], ranked=False)
    return Noise(comparison.max_abs, comparison.root_mean_square)
