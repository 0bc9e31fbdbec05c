"""What is missing together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from sdv_wgangp.reporting.data import SMALLEST
from sdv_wgangp.reporting.figures import table
from sdv_wgangp.reporting.formats import few, percent
from sdv_wgangp.reporting.panels.panel import Panel

PATTERNS = 12


@dataclass(frozen=True)
class MissingPattern:
    """Columns that are missing together, and the shares of rows where just these are.

    ``columns`` None stands for all patterns of too few real rows.
    """

    columns: tuple[str, ...] | None
    real: float
    synthetic: float
    holdout: float | None


def missing_patterns(
    real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame | None
) -> tuple[MissingPattern, ...]:
    """Shares of rows by the set of their missing columns, the most frequent real sets first.

    Sets of fewer than ten real rows are added up, like those after the twelfth. Empty where no
    value is missing anywhere.
    """
    tables = [table for table in (real, synthetic, holdout) if table is not None]
    names = [str(name) for name in real if any(table[name].isna().any() for table in tables[:2])]
    if not names:
        return ()
    counts = [table[names].isna().value_counts() for table in tables]
    fractions = [count / len(table) for count, table in zip(counts, tables, strict=True)]
    frequent = counts[0][counts[0] >= SMALLEST]
    shown: list[tuple[bool, ...]] = list(frequent.index)[:PATTERNS]

    def record(columns: tuple[str, ...] | None, values: list[float]) -> MissingPattern:
        return MissingPattern(columns, *values, *([None] if holdout is None else []))

    records = [
        record(
            tuple(name for name, absent in zip(names, key, strict=True) if absent),
            [float(fraction.get(key, 0.0)) for fraction in fractions],
        )
        for key in shown
    ]
    rest = [
        max(0.0, 1 - sum(float(fraction.get(key, 0.0)) for key in shown)) for fraction in fractions
    ]
    if max(rest) > 1e-9:
        records.append(record(None, rest))
    return tuple(records)


def draw(patterns: Sequence[MissingPattern]) -> str:
    """A table of the patterns."""
    held = patterns[0].holdout is not None
    rows = []
    for pattern in patterns:
        if pattern.columns is None:
            name = "other patterns"
        else:
            name = few(list(pattern.columns), 6) or "nothing missing"
        row = [escape(name), percent(pattern.real), percent(pattern.synthetic)]
        rows.append([*row, *([percent(pattern.holdout)] if held else [])])
    heads = ["Missing together", "Real", "Synthetic", *(["Held-out"] if held else [])]
    return "<p class='soft'>Shares of rows by what is missing in them.</p>" + table(
        heads, rows, "Patterns of missing values"
    )


PANEL = Panel(
    "missing",
    "Missing values",
    after="rare",
    measure=lambda tables, _: missing_patterns(tables.real, tables.synthetic, tables.holdout),
    draw=draw,
)
