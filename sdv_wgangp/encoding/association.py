"""How strongly columns depend on each other, coarsely and quickly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn

CLASSES = 10
SAMPLE_ROWS = 5_000


def strongest_associations(
    frame: pd.DataFrame, columns: list[CategoricalColumn | NumericColumn], which: list[int]
) -> np.ndarray:
    """Largest association of some columns with any other column, shape ``[len(which)]``.

    Cramer's V with the bias correction of Bergsma (2013), of columns cut into at most ten classes:
    the tenths of the ranks of a number, the nine most frequent levels of a category and the rest.
    It sees any dependence that shows at this scale, not only a monotone one.

    Args:
        frame: The training rows; evenly spaced ones are used.
        columns: All columns, fitted to the frame.
        which: Indices of the columns asked for.
    """
    if not which:
        return np.empty(0)
    step = max(1, len(frame) // SAMPLE_ROWS)
    part = frame.iloc[::step]
    classes = [_classes(column, part[column.name]) for column in columns]
    hot = [np.eye(CLASSES, dtype=np.float32)[c] for c in classes]
    everything = np.concatenate(hot, axis=1)
    strongest = np.zeros(len(which))
    for place, index in enumerate(which):
        tables = (hot[index].T @ everything).reshape(CLASSES, len(columns), CLASSES)
        others = [_cramers_v(tables[:, other]) for other in range(len(columns)) if other != index]
        strongest[place] = max(others, default=0.0)
    return strongest


def _classes(column, series: pd.Series) -> np.ndarray:
    codes, positions = column.encode(series)
    if column.ranks is None:
        return np.minimum(codes, CLASSES - 1)
    ranks = column.ranks[codes, 0]
    if positions is not None:
        ranks = ranks + column.ranks[codes, 1] * positions
    return np.minimum((ranks * CLASSES).astype(np.int64), CLASSES - 1)


def _cramers_v(table: np.ndarray) -> float:
    table = table[table.sum(1) > 0][:, table.sum(0) > 0].astype(np.float64)
    rows, columns = table.shape
    total = table.sum()
    if min(rows, columns) < 2:
        return 0.0
    expected = np.outer(table.sum(1), table.sum(0)) / total
    chi2 = ((table - expected) ** 2 / expected).sum()
    phi2 = max(0.0, chi2 / total - (rows - 1) * (columns - 1) / (total - 1))
    least = min(
        rows - (rows - 1) ** 2 / (total - 1),
        columns - (columns - 1) ** 2 / (total - 1),
    )
    return float(np.sqrt(phi2 / (least - 1)))
