"""Quantities as people read them in a table: a unit that fits, three or four significant digits, never more."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_OF_TIME = ("s", "seconds")
_OF_MEMORY = ("B", "bytes")
_BYTES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def seconds(value: float) -> str:
    """A time in the unit that fits.

    >>> seconds(1.2e-05), seconds(0.00099996)
    ('12.0 µs', '1.00 ms')
    """
    return _with_unit(value, _TIMES)


def memory(value: float) -> str:
    """Bytes in the decimal unit that fits.

    >>> memory(212_000_000)
    '212 MB'
    """
    return _with_unit(value, _BYTES)


def score(value: float) -> str:
    """A metric's value. A share that is not quite 1 never shows as 1, nor one that is not quite 0 as 0.

    >>> score(0.98222), score(0.999999), score(1.0)
    ('0.9822', '0.999999', '1.0000')
    """
    if not math.isfinite(value) or not 0 <= value <= 1:
        return number(value)
    for decimals in (4, 6, 9):
        text = f"{value:.{decimals}f}"
        if float(text) not in (0.0, 1.0) or float(text) == value:
            return text
    return f"{value:.2e}" if value < 0.5 else ">0.999999999"


def number(value: float) -> str:
    """Four significant digits, thousands separated.

    >>> number(0.123456), number(12345.6), number(1797)
    ('0.1235', '12,346', '1,797')
    """
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    # Four digits would write 12,345.6 as 1.235e+04.
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
    """A share as a percentage.

    >>> share(0.0081), share(0.61)
    ('0.81%', '61%')
    """
    return f"{value:.2%}" if abs(value) < 0.0995 else f"{value:.0%}"


def measured(value: float, unit: str) -> str:
    """A number in its unit, where that scales; else the number alone, whose unit stands in the :func:`heading`.

    >>> measured(0.25, "s"), measured(2e6, "B"), measured(12.5, "W")
    ('250 ms', '2.00 MB', '12.5')
    """
    if unit in _OF_MEMORY:
        return memory(value)
    return seconds(value) if unit in _OF_TIME else number(value)


def heading(name: str, unit: str) -> str:
    """The heading of numbers in a unit, which stands there where no number has it.

    >>> heading("power", "W"), heading("pause", "s")
    ('power [W]', 'pause')
    """
    return name if unit in ("", *_OF_MEMORY, *_OF_TIME) else f"{name} [{unit}]"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "case"), plural(1200, "case")
    ('1 case', '1,200 cases')
    """
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
