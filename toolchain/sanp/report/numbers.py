"""Numbers as people read them."""

from __future__ import annotations


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, "–" for none."""
    if value is None:
        return "–"
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent, "–" for none."""
    return "–" if value is None else f"{value:.{digits}%}"


def macs(value: float) -> str:
    """Multiply-accumulates with a unit."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f}"
