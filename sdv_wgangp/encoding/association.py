"""How strongly ordered columns depend on each other, coarsely and quickly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions
from sdv_wgangp.statistics.association import v_with_each


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
        strongest[index] = np.delete(v_with_each(joint, [classes] * len(columns)), index).max()
    return strongest


def _classes(column: NumericColumn, series: pd.Series, classes: int) -> np.ndarray:
    codes, positions = column.encode(series)
    ranks = column.ranks[codes, 0]
    if positions is not None:
        ranks = ranks + column.ranks[codes, 1] * positions
    return np.minimum((ranks * classes).astype(np.int64), classes - 1)
