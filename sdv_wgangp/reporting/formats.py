"""Numbers as text, the same in the terminal and on the page."""

from __future__ import annotations

import math

from sdv_wgangp.reporting.data import Measure


def number(value: float) -> str:
    """A few significant digits, with k, M, B and T for thousands and more.

    Example:
        >>> number(12_345), number(0.5), number(-2e9)
        ('12.3k', '0.5', '-2B')
    """
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{value:.1e}"
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= scale:
            return f"{value / (1e3 if letter == 'k' else scale):.3g}{letter}"
    return f"{value:.4g}"


def percent(fraction: float | None) -> str:
    """A share in [0, 1] as a percentage.

    Example:
        >>> percent(0.25), percent(0.0004), percent(None)
        ('25.0 %', '0.04 %', '-')
    """
    if fraction is None or not math.isfinite(fraction):
        return "-"
    if fraction != 0 and abs(fraction) < 0.001:
        return f"{100 * fraction:.2g} %"
    return f"{100 * fraction:.1f} %"


def measured(value: float | None, kind: str) -> str:
    """The value of a measure of that kind: a score, a share or a number.

    Example:
        >>> measured(0.5, "score"), measured(0.5, "share"), measured(147_911.3, "number")
        ('0.500', '50.00 %', '147,900')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if kind == "share":
        return f"{100 * value:.2f} %"
    if kind != "number":
        return f"{value:.3f}"
    short = f"{value:.4g}"
    return f"{float(short):,.0f}" if 1e4 <= abs(value) < 1e9 else short


def value_of(measure: Measure) -> str:
    """The value of a measure, or what is shown in its place."""
    return measure.instead or measured(measure.value, measure.kind)


def counted(count: int, name: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "level"), counted(2000, "level")
        ('1 level', '2,000 levels')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def few(names: list[str], most: int = 8) -> str:
    """Names with commas between them, and how many more there are.

    Example:
        >>> few(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
