"""Cramer's V: how strongly two columns of levels depend on each other, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Counts = np.ndarray | int


def cramers_v(phi2: np.ndarray | float, rows: Counts, columns: Counts) -> np.ndarray:
    r"""Cramer's V (1946, section 21.9) of contingency tables, float64 ``[n]``.

    .. math:: V = \sqrt{\frac{\chi^2 / n}{\min(r, c) - 1}}

    Args:
        phi2: Chi-square statistics divided by the counts, ``[n]``.
        rows, columns: How many rows and columns of each table are not empty.

    Returns:
        NaN for a constant column.

    Example:
        >>> cramers_v(*phi_squared(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))).tolist()
        1.0
    """
    least = np.minimum(rows, columns)
    varied = least > 1
    return np.where(varied, np.sqrt(phi2 / np.where(varied, least - 1, 1.0)), np.nan)


def bias_corrected_v(phi2: np.ndarray, rows: Counts, columns: Counts, total: Counts) -> np.ndarray:
    """The same with the bias correction of Bergsma (2013); 0 for a constant.

    Args:
        phi2, rows, columns: As of `cramers_v`.
        total: Counts in each table.
    """
    rest = np.maximum(total - 1, 1)
    phi2 = np.maximum(0.0, phi2 - (rows - 1) * (columns - 1) / rest)
    rows, columns = (count - (count - 1) ** 2 / rest for count in (rows, columns))
    return np.nan_to_num(cramers_v(phi2, rows, columns))


class PhiSquared(NamedTuple):
    """Of one contingency table, what `cramers_v` takes."""

    phi2: float
    rows: int
    columns: int


def phi_squared(x: np.ndarray, y: np.ndarray) -> PhiSquared:
    """Chi-square statistic of two columns divided by the rows; numbers of their levels.

    Args:
        x, y: Levels of the rows, ``[rows]``, at least one.
    """
    _, x = np.unique(x, return_inverse=True)
    _, y = np.unique(y, return_inverse=True)
    rows, columns = int(x.max()) + 1, int(y.max()) + 1
    # Over the occupied cells alone: two columns of very many levels stay sparse.
    cells, counts = np.unique(x.astype(np.int64) * columns + y, return_counts=True)
    row_sums, column_sums = np.bincount(x), np.bincount(y)
    expected = row_sums[cells // columns] * (column_sums[cells % columns] / len(x))
    chi2 = float(np.sum(counts**2 / expected)) - len(x)
    return PhiSquared(max(chi2, 0.0) / len(x), rows, columns)


def v_with_each(joint: Tensor, widths: Sequence[int]) -> np.ndarray:
    """Bias-corrected Cramer's V of a column with each of some others, ``[len(widths)]``.

    Args:
        joint: In how many rows each level of the column meets each level of the others, which
            stand side by side, float64 ``[levels, sum(widths)]``.
        widths: Levels of each of the others, at least one column.

    Example:
        >>> import torch
        >>> joint = torch.tensor([[150.0, 50.0, 200.0, 0.0], [50.0, 150.0, 0.0, 200.0]])
        >>> v_with_each(joint.double(), [2, 2]).round(3).tolist()
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
