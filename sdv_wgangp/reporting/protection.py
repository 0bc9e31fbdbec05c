"""What of the real rows a report may show: nothing that fewer than ten of them stand for.

Levels of fewer rows are counted together, quantiles with fewer rows beyond them are left out,
numbers are rounded, and columns whose values nearly all differ show none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.data import SMALLEST
from sdv_wgangp.reporting.scores import CATEGORIES, NUMBERS, to_codes, to_numbers

NEARLY_UNIQUE = 0.5  # distinct values of a category, per row
KEY_DIGITS = 6  # whole numbers of so many digits, all different, are taken for keys
DAY = 86_400e9  # nanoseconds

STATEMENT = (
    f"This report shows no single real row. Levels that fewer than {SMALLEST} real rows have are "
    "counted together as “other”. Quantiles with fewer than "
    f"{SMALLEST} rows beyond them, and so all extremes, are left out; other numbers are rounded, "
    "and the tails of figures are gathered in their outer bins. Columns whose values nearly all "
    "differ (names, addresses, keys) show no values. A cell of a pair of columns stands for at "
    f"least {SMALLEST} rows. Scores are aggregates; they are no guarantee of privacy."
)


def why_hidden(values: pd.Series, sdtype: str) -> str:
    """Why no value of a real column may be shown, or an empty text.

    Example:
        >>> why_hidden(pd.Series([f"person {k}" for k in range(50)]), "categorical")
        'nearly all values differ'
        >>> why_hidden(pd.Series(["a", "b"] * 25), "categorical")
        ''
    """
    if sdtype not in NUMBERS + CATEGORIES:
        return f"the values of sdtype {sdtype} are not compared"
    present = values.dropna()
    if len(present) < 2 * SMALLEST:
        return f"fewer than {2 * SMALLEST} real values"
    distinct = present.nunique()
    if sdtype in CATEGORIES:
        return "nearly all values differ" if distinct > NEARLY_UNIQUE * len(present) else ""
    if sdtype == "numerical" and distinct > 0.99 * len(present):
        return "looks like a key" if _looks_like_keys(to_numbers(present, sdtype)) else ""
    return ""


def _looks_like_keys(numbers: np.ndarray) -> bool:
    """Whether whole numbers, all different, are a running number or of one length of digits."""
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0 or not np.array_equal(numbers, np.round(numbers)):
        return False
    if np.ptp(numbers) < 20 * len(numbers):
        return True
    digits = np.floor(np.log10(np.maximum(np.abs(numbers), 1))) + 1
    common = np.median(digits)
    return bool(common >= KEY_DIGITS and np.mean(digits == common) > 0.85)


class Levels:
    """The levels of a category that may be named, and the codes of every table's rows.

    Args:
        columns: The column of the real table, then those of the others.

    Attributes:
        labels: Of the named levels, most frequent first.
        codes: For each table, indices into `labels`; ``len(labels)`` is any other level and -1 a
            missing value.
        others: How many real levels are not named.
        known: For each table which of all real levels it has, the named ones first, ``[levels]``.
    """

    def __init__(self, columns: Sequence[pd.Series]) -> None:
        codes, levels = to_codes(columns)
        counts = np.bincount(codes[0][codes[0] >= 0], minlength=len(levels))
        order = np.argsort(-counts, kind="stable")
        named = int(np.count_nonzero(counts >= SMALLEST))
        place = np.empty(len(levels) + 1, dtype=np.int64)
        place[order] = np.minimum(np.arange(len(levels)), named)
        place[-1] = -1
        self.labels = tuple(label(levels[level]) for level in order[:named])
        self.codes = [place[code] for code in codes]
        real = order[: np.count_nonzero(counts)]
        self.others = len(real) - named
        self.known = [np.isin(real, code) for code in codes]


def label(level: object) -> str:
    """A level as text; whole numbers without a decimal point."""
    if isinstance(level, float | np.floating) and float(level).is_integer():
        return str(int(level))
    return str(level)


def round_step(spread: float, parts: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``spread / parts``.

    Example:
        >>> round_step(3.0, 200), round_step(50_000.0, 200)
        (0.02, 500.0)
    """
    if not (math.isfinite(spread) and spread > 0):
        return 1.0
    raw = spread / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))


def rounded(value: float, step: float) -> float:
    """``value`` as a multiple of ``step``, without the digits of floating point beyond it."""
    digits = max(0, 2 - math.floor(math.log10(step)))
    return round(round(value / step) * step, digits) + 0.0


def significant(value: float, digits: int = 3) -> float:
    """``value`` to so many significant digits."""
    return float(f"{value:.{digits - 1}e}") if math.isfinite(value) else value


def safe_quantiles(values: np.ndarray, fractions: Sequence[float]) -> tuple[float | None, ...]:
    """Quantiles with at least ten values beyond them on either side, rounded; None for others.

    A value that ten of the values share is given as it is.

    Args:
        values: Finite numbers.
        shares: Of the quantiles, in [0, 1].
    """
    if len(values) < 2 * SMALLEST:
        return (None,) * len(fractions)
    low, high = np.quantile(values, [0.1, 0.9])
    step = round_step(float(high - low) or float(np.ptp(values)), 200)
    result: list[float | None] = []
    for fraction in fractions:
        if len(values) * min(fraction, 1 - fraction) < SMALLEST:
            result.append(None)
            continue
        value = float(np.quantile(values, fraction))
        shared = np.count_nonzero(values == value) >= SMALLEST
        result.append(value if shared else rounded(value, step))
    return tuple(result)


def inner_range(values: np.ndarray, beyond: float = 0.005) -> tuple[float, float]:
    """Bounds with at least ten values, and that share of them, at or beyond either.

    Args:
        values: At least twenty finite numbers.
    """
    ordered = np.sort(values)
    out = max(SMALLEST - 1, math.floor(beyond * len(values)))
    out = min(out, (len(values) - 1) // 2)
    return float(ordered[out]), float(ordered[-1 - out])


def moment(nanoseconds: float, spread: float) -> str:
    """A datetime as coarse as its spread allows: month, day or hour.

    Example:
        >>> moment(1.6e18, 3000 * DAY), moment(1.6e18, 100 * DAY)
        ('2020-09', '2020-09-13')
    """
    stamp = pd.Timestamp(int(nanoseconds))
    if spread > 730 * DAY:
        return stamp.strftime("%Y-%m")
    if spread > 10 * DAY:
        return stamp.strftime("%Y-%m-%d")
    return stamp.strftime("%Y-%m-%d %Hh")
