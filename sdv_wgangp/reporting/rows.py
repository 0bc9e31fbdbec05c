"""Whole rows: their main components, and what is missing together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.data import SMALLEST, MissingPattern, Plane
from sdv_wgangp.reporting.protection import Levels
from sdv_wgangp.reporting.scores import NUMBERS, to_numbers

POINTS = 1_000  # of each table
STEPS = 60  # of the grid that points are rounded to
ONE_HOT_LEVELS = 20
PATTERNS = 12


def plane(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: Mapping[str, str], seed: int = 0
) -> Plane | None:
    """Rows of both tables in the plane of the real rows' two main components.

    Numbers and dates count as their ranks among the real values, categories as 0 and 1 for each
    of their most frequent levels, which together weigh as much as one number; all are centred and
    scaled by the real rows.

    Args:
        real, synthetic: The tables; at most a thousand rows of each are drawn.
        columns: ``name -> sdtype``.
        seed: Of that choice.
    """
    if min(len(real), len(synthetic)) < 2 * SMALLEST:
        return None
    tables = [
        table.sample(min(POINTS, len(table)), random_state=seed) for table in (real, synthetic)
    ]
    first, second = _encoded(tables, columns)
    centre, scale = first.mean(0), first.std(0)
    scale[scale == 0] = 1
    first, second = (first - centre) / scale, (second - centre) / scale
    _, values, axes = np.linalg.svd(first, full_matrices=False)
    if len(axes) < 2:
        return None
    fraction = values**2 / max(float((values**2).sum()), 1e-12)
    planes = [each @ axes[:2].T for each in (first, second)]
    low, high = np.quantile(planes[0], [0.005, 0.995], axis=0)
    span = np.where(high > low, high - low, 1.0)
    points = []
    for each in planes:
        inside = np.clip((each - low) / span, 0, 1)
        points.append(
            tuple((float(a), float(b)) for a, b in np.round(np.round(inside * STEPS) / STEPS, 4))
        )
    return Plane((float(fraction[0]), float(fraction[1])), points[0], points[1])


def _encoded(tables: list[pd.DataFrame], columns: Mapping[str, str]) -> list[np.ndarray]:
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            numbers = [to_numbers(table[name], sdtype) for table in tables]
            known = np.sort(numbers[0][np.isfinite(numbers[0])])
            for part, values in zip(parts, numbers, strict=True):
                ranks = np.searchsorted(known, values, "left") + np.searchsorted(
                    known, values, "right"
                )
                middle = np.isnan(values) | (len(known) == 0)
                part.append(np.where(middle, 0.5, ranks / max(2 * len(known), 1)))
            continue
        levels = Levels([table[name] for table in tables])
        count = min(len(levels.labels), ONE_HOT_LEVELS)
        for part, codes in zip(parts, levels.codes, strict=True):
            part += [(codes == level) / np.sqrt(count) for level in range(count)]
    if not parts[0]:
        return [np.zeros((len(table), 1)) for table in tables]
    return [np.column_stack(part).astype(np.float64) for part in parts]


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
