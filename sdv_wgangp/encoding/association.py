"""How strongly ordered columns depend on each other, coarsely and quickly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import NumericColumn

CLASSES = 10
SAMPLE_ROWS = 5_000


def strongest_associations(frame: pd.DataFrame, columns: list[NumericColumn]) -> np.ndarray:
    """Largest association of each column with any other one, shape ``[len(columns)]``.

    Cramer's V with the bias correction of Bergsma (2013), of columns cut into the tenths of their
    ranks. It sees any dependence that shows at this scale, not only a monotone one.

    Args:
        frame: The training rows; evenly spaced ones are used.
        columns: Columns with an order, fitted to the frame.
    """
    strongest = np.zeros(len(columns))
    if len(columns) < 2:
        return strongest
    part = frame.iloc[:: max(1, len(frame) // SAMPLE_ROWS)]
    hot = [
        np.eye(CLASSES, dtype=np.float32)[_classes(column, part[column.name])]
        for column in columns
    ]
    everything = np.concatenate(hot, axis=1)
    for index, own in enumerate(hot):
        tables = (own.T @ everything).reshape(CLASSES, len(columns), CLASSES)
        strongest[index] = np.delete(_cramers_v(tables.transpose(1, 0, 2)), index).max()
    return strongest


def _classes(column: NumericColumn, series: pd.Series) -> np.ndarray:
    codes, positions = column.encode(series)
    ranks = column.ranks[codes, 0]
    if positions is not None:
        ranks = ranks + column.ranks[codes, 1] * positions
    return np.minimum((ranks * CLASSES).astype(np.int64), CLASSES - 1)


def bias_corrected_v(
    phi2: np.ndarray, rows: np.ndarray, columns: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Cramer's V of contingency tables with Bergsma's bias correction; 0 for a constant.

    Args:
        phi2: Chi-square statistics divided by the counts, ``[n]``.
        rows, columns: How many rows and columns of each table are not empty.
        total: Counts in each table.
    """
    rest = np.maximum(total - 1, 1)
    phi2 = np.maximum(0.0, phi2 - (rows - 1) * (columns - 1) / rest)
    least = np.minimum(*(count - (count - 1) ** 2 / rest for count in (rows, columns)))
    varied = (rows > 1) & (columns > 1) & (least > 1)
    return np.where(varied, np.sqrt(phi2 / np.where(varied, least - 1, 1.0)), 0.0)


def _cramers_v(tables: np.ndarray) -> np.ndarray:
    """V of contingency tables ``[n, classes, classes]``."""
    tables = tables.astype(np.float64)
    first, second = tables.sum(2), tables.sum(1)
    total = first.sum(1)
    expected = first[:, :, None] * second[:, None, :] / total[:, None, None]
    chi2 = ((tables - expected) ** 2 / np.where(expected > 0, expected, 1.0)).sum((1, 2))
    return bias_corrected_v(chi2 / total, (first > 0).sum(1), (second > 0).sum(1), total)
