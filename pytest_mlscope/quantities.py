"""Quantities as people read them in a table: a unit that fits, three or four significant digits, never more."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def seconds(value: float) -> str:
    """``1.2e-05`` is ``12.0 µs``."""
    return _with_unit(value, _TIMES)


def memory(value: float) -> str:
    """``212000000`` is ``212 MB``."""
    return _with_unit(value, _BYTES)


def score(value: float) -> str:
    """A metric's value. A share that is not quite 1 never shows as 1, nor one that is not quite 0 as 0."""
    if not math.isfinite(value) or not 0 <= value <= 1:
        return number(value)
    for decimals in (4, 6, 9):
        text = f"{value:.{decimals}f}"
        if float(text) not in (0.0, 1.0) or float(text) == value:
            return text
    return f"{value:.2e}" if value < 0.5 else ">0.999999999"


def number(value: float) -> str:
    """Four significant digits, thousands separated."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 999.95 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def difference(value: float) -> str:
    """A difference between tensors: its magnitude is what matters."""
    return f"{value:.1e}" if value and math.isfinite(value) else f"{value:g}"


def decibels(value: float) -> str:
    """One decimal: a tenth of a decibel is 2 % of the mean squared error."""
    return f"{value:.1f}" if math.isfinite(value) else str(value)


def share(value: float) -> str:
    """``0.0081`` is ``0.81%``."""
    return f"{value:.2%}" if abs(value) < 0.0995 else f"{value:.0%}"


def plural(count: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _with_unit(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return f"0 {units[-1][1]}"
    # 999.96 µs would round to 1000 µs: it is 1 ms.
    size, unit = next(((s, u) for s, u in units if abs(value) >= s * 0.9995), units[-1])
    scaled = value / size
    decimals = max(0, 2 - math.floor(math.log10(abs(float(f"{abs(scaled):.3g}"))))) if size != 1 or unit == "s" else 0
    return f"{scaled:,.{min(decimals, 3)}f} {unit}"
