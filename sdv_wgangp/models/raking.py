"""Raking: weights for generated rows that give them the marginals of the training table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sdv_wgangp.models.cells import Cells

SWEEPS = 30
TOLERANCE = 1e-3
# Expected rows of a cell in the pool are smoothed by this, or a rare level would follow the
# pool's own noise.
SMOOTHING = 5.0
# No cell makes a row more than so many times as likely.
MAX_FACTOR = 3.0


class Raking:
    """Factors of the cells of every column, whose product brings the marginals to the table's.

    Found by iterative proportional fitting (Deming and Stephan 1940) of the marginals one by one,
    from the weights that the rows have already. Of all reweightings with these marginals it is
    the one nearest to those weights in relative entropy.

    Args:
        columns: The cells of every column; the marginals are those of the coarse ones.
        pool: Cells of generated rows, ``[n]`` for each column.
        weights: Of these rows, shape ``[n]``.
        counts: How many generated rows each of them stands for, shape ``[n]``.
        limit_of: The limit for weights and counts: weights above count as that, for what follows
            cannot keep a row more often.

    Attributes:
        limit: The one for the weights that were found.
    """

    def __init__(
        self,
        columns: Sequence[Cells],
        pool: Sequence[np.ndarray],
        weights: np.ndarray,
        counts: np.ndarray,
        limit_of: Callable[[np.ndarray, np.ndarray], float],
    ):
        rows = len(weights)
        coarse = [
            column.coarse.astype(np.min_scalar_type(len(column.shares)))[cells]
            for column, cells in zip(columns, pool, strict=True)
        ]
        found = [np.ones(len(column.shares)) for column in columns]
        weights = weights.copy()
        for _ in range(SWEEPS):
            limit = limit_of(weights, counts)
            change = 0.0
            for cells, column, factors in zip(coarse, columns, found, strict=True):
                limited = counts * np.minimum(weights, limit)
                have = np.bincount(cells, limited, len(factors)) * (rows / limited.sum())
                step = (rows * column.shares + SMOOTHING) / (have + SMOOTHING)
                changed = np.clip(factors * step, 1 / MAX_FACTOR, MAX_FACTOR)
                step = changed / factors
                factors[:] = changed
                weights *= step[cells]
                change = max(change, np.abs(step - 1).max())
            if change < TOLERANCE:
                break
        self.limit = limit_of(weights, counts)
        self._factors = [
            factors[column.coarse] for column, factors in zip(columns, found, strict=True)
        ]

    def weights(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        """Product of the factors of every row, float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        weights = np.ones(len(cells[0]))
        for of_column, factors in zip(cells, self._factors, strict=True):
            weights *= factors[of_column]
        return weights
