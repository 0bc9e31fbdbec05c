"""How values of a sequence go together with later ones of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def standardized(
    values: np.ndarray, owner: np.ndarray, sequences: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each sequence centred and of length 1, 0 where missing; and which are not constant.

    Args:
        values: Of all sequences, one behind the other, ``[rows]``; NaN where missing.
        owner: The sequence of each, ``[rows]``.
        sequences: How many there are.

    Returns:
        ``[rows]`` and ``[sequences]``.
    """
    there = np.isfinite(values)
    count = np.bincount(owner, there, minlength=sequences)
    total = np.bincount(owner, np.where(there, values, 0.0), minlength=sequences)
    mean = total / np.maximum(count, 1)
    centred = np.where(there, values - mean[owner], 0.0)
    square = np.bincount(owner, centred**2, minlength=sequences)
    # A constant leaves rounding errors of its size behind.
    known = square > 1e-18 * np.maximum(count, 1) * (1 + mean**2)
    scale = np.where(known, np.sqrt(np.where(known, square, 1.0)), np.inf)
    return centred / scale[owner], known


def mean_autocorrelation(
    values: np.ndarray, lengths: np.ndarray, lags: Sequence[int] | np.ndarray, least: int = 10
) -> np.ndarray:
    r"""Mean over sequences of their autocorrelation at each lag, ``[lags]``.

    .. math:: r_l = \sum_t (x_t - \bar x)(x_{t+l} - \bar x) / \sum_t (x_t - \bar x)^2

    over those of at least ``2 l`` rows that are not constant; what is missing adds nothing.

    Args:
        values: Of all sequences, one behind the other, ``[rows]``; NaN where missing.
        lengths: Rows of each, ``[sequences]``.
        lags: Rows between the two values.
        least: Sequences that a mean is of, or all where there are fewer; NaN at other lags.

    Example:
        >>> mean_autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), np.array([4]), [1, 2]).tolist()
        [-0.75, 0.5]
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(values)) - (np.cumsum(lengths) - lengths)[owner]
    unit, known = standardized(values, owner, len(lengths))
    found = []
    for lag in lags:
        used = known & (lengths >= 2 * lag)
        if used.sum() < min(least, len(lengths)):
            found.append(np.nan)
            continue
        rows = np.flatnonzero(used[owner] & (position + lag < lengths[owner]))
        found.append(float((unit[rows] * unit[rows + lag]).sum() / used.sum()))
    return np.array(found)
