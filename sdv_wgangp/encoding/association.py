"""How strongly ordered columns depend on each other, coarsely and quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions


def strongest_associations(
    frame: pd.DataFrame, columns: list[NumericColumn], options: EncodingOptions = DEFAULT
) -> np.ndarray:
    """Largest association of each column with any other one, shape ``[len(columns)]``.

    Cramer's V with the bias correction of Bergsma (2013), of columns cut into equal parts of their
    ranks. It sees any dependence that shows at this scale, not only a monotone one.

    Args:
        frame: The training rows; evenly spaced ones are used.
        columns: Columns with an order, fitted to the frame.
        options: ``association_rows`` that are used, about, and ``association_classes`` that the
            columns are cut into.
    """
    strongest = np.zeros(len(columns))
    if len(columns) < 2:
        return strongest
    classes = options.association_classes
    part = frame.iloc[:: max(1, len(frame) // options.association_rows)]
    hot = [
        np.eye(classes, dtype=np.float32)[_classes(column, part[column.name], classes)]
        for column in columns
    ]
    everything = np.concatenate(hot, axis=1)
    for index, own in enumerate(hot):
        joint = torch.from_numpy(own.T @ everything).double()
        strongest[index] = np.delete(cramers_v(joint, [classes] * len(columns)), index).max()
    return strongest


def _classes(column: NumericColumn, series: pd.Series, classes: int) -> np.ndarray:
    codes, positions = column.encode(series)
    ranks = column.ranks[codes, 0]
    if positions is not None:
        ranks = ranks + column.ranks[codes, 1] * positions
    return np.minimum((ranks * classes).astype(np.int64), classes - 1)


def cramers_v(joint: torch.Tensor, widths: Sequence[int]) -> np.ndarray:
    """Cramer's V of a column with others, with Bergsma's bias correction, ``[len(widths)]``.

    Args:
        joint: In how many rows each level of the column meets each level of the others, which
            stand side by side, float64 ``[levels, sum(widths)]``.
        widths: Levels of each of the others, at least one column.

    Example:
        >>> joint = torch.tensor([[150.0, 50.0, 200.0, 0.0], [50.0, 150.0, 0.0, 200.0]])
        >>> cramers_v(joint.double(), [2, 2]).round(3).tolist()
        [0.498, 1.0]
    """
    starts = np.cumsum(widths) - np.asarray(widths)
    own, others = joint[:, : widths[0]].sum(1), joint.sum(0)
    expected = own[:, None] * others
    phi2 = (joint.square() / expected.masked_fill(expected == 0, 1)).sum(0)
    return bias_corrected_v(
        np.add.reduceat(phi2.numpy(), starts) - 1,
        int((own > 0).sum()),
        np.add.reduceat((others > 0).numpy().astype(np.int64), starts),
        int(own.sum()),
    )


def bias_corrected_v(
    phi2: np.ndarray, rows: np.ndarray | int, columns: np.ndarray | int, total: np.ndarray | int
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
