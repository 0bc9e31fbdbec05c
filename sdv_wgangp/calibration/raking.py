"""Raking: weights for rows that give them marginals, those of the training table for instance.

By iterative proportional fitting (Deming and Stephan 1940) of one column after the other. Of all
reweightings with these marginals it finds the one nearest to the first weights in relative
entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.persistence.former_names import FormerNames

LimitOf = Callable[[np.ndarray, np.ndarray], float]


@dataclass(eq=False)
class Raking(FormerNames):
    """Factors of the cells of every column, whose product brings the marginals to the table's.

    Attributes:
        factors: Of the cells of each column, positive, float64 ``[size]``.
        limit: What the weights that were found should not exceed.
    """

    former_names: ClassVar = {"_factors": "factors"}

    factors: list[np.ndarray]
    limit: float

    def weights(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        """Product of the factors of every row, float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        weights = np.ones(len(cells[0]))
        for of_column, factors in zip(cells, self.factors, strict=True):
            weights *= factors[of_column]
        return weights


def fit_raking(
    columns: Sequence[Cells],
    pool: Sequence[np.ndarray],
    weights: np.ndarray,
    counts: np.ndarray,
    limit_of: LimitOf,
    options: CalibrationOptions = DEFAULT,
    rounds: int = 30,
) -> Raking:
    """Factors for rows that have weights already.

    Args:
        columns: The cells of every column; the marginals are those of the coarse ones.
        pool: Cells of generated rows, ``[n]`` for each column.
        weights: Of these rows, shape ``[n]``.
        counts: How many generated rows each of them stands for, shape ``[n]``.
        limit_of: The limit for weights and counts: weights above count as that, for what follows
            cannot keep a row more often.
        options: Hyper-parameters.
        rounds: Of the columns, at most.
    """
    rows = len(weights)
    coarse = [
        column.coarse.astype(np.min_scalar_type(len(column.frequencies)))[cells]
        for column, cells in zip(columns, pool, strict=True)
    ]
    factors = [np.ones(len(column.frequencies)) for column in columns]
    limit = limit_of(weights, counts)
    smoothing, most = options.raking_smoothing, options.max_factor

    def step_of(place: int, weights: np.ndarray) -> np.ndarray:
        before, goal = factors[place], columns[place].frequencies
        limited = counts * np.minimum(weights, limit)
        have = np.bincount(coarse[place], limited, len(before)) * (rows / limited.sum())
        step = (rows * goal + smoothing) / (have + smoothing)
        factors[place] = np.clip(before * step, 1 / most, most)
        return factors[place] / before

    def limit_again(weights: np.ndarray) -> None:
        nonlocal limit
        limit = limit_of(weights, counts)

    _fit_in_turn(coarse, weights.copy(), step_of, limit_again, rounds, options.raking_tolerance)
    return Raking(
        [of_column[column.coarse] for column, of_column in zip(columns, factors, strict=True)],
        limit,
    )


def rake(
    cells: Sequence[np.ndarray],
    goals: Sequence[np.ndarray],
    most: float,
    options: CalibrationOptions = DEFAULT,
    rounds: int = 10,
) -> np.ndarray:
    """Weights of rows that give them marginals, float64 ``[n]``, at least ``options.min_weight``.

    Args:
        cells: Of the rows, at least one, ``[n]`` for each column.
        goals: Frequencies of the cells of each column. In a cell without rows none can be had, and
            its frequency goes to the others.
        most: After each round of the columns, weights are cut off there; their mean is 1.
        options: Hyper-parameters.
        rounds: At most.

    Example:
        >>> rake([np.array([0, 0, 0, 1])], [np.array([0.5, 0.5])], most=10).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """

    def step_of(place: int, weights: np.ndarray) -> np.ndarray:
        goal = goals[place]
        have = np.bincount(cells[place], weights, len(goal))
        there = have > 0
        goal = goal * (len(weights) / goal[there].sum())
        return np.divide(goal, have, out=np.ones_like(goal), where=there)

    def cut_off(weights: np.ndarray) -> None:
        np.clip(weights, options.min_weight, most, out=weights)

    ones, tolerance = np.ones(len(cells[0])), options.raking_tolerance
    return _fit_in_turn(cells, ones, step_of, cut_off, rounds, tolerance)


def _fit_in_turn(
    cells: Sequence[np.ndarray],
    weights: np.ndarray,
    step_of: Callable[[int, np.ndarray], np.ndarray],
    after_round: Callable[[np.ndarray], None],
    rounds: int,
    tolerance: float,
) -> np.ndarray:
    """Multiply weights ``[n]`` by a step of each column in turn, in place, until they converge.

    Args:
        cells: Of the rows, ``[n]`` for each column.
        weights: To begin with.
        step_of: Of a column's place and the weights: by what those of each of its cells change.
        after_round: Called with the weights when every column has had its turn; may change them.
        rounds: At most.
        tolerance: They have converged when no step of a round changes one by more.
    """
    for _ in range(rounds):
        change = 0.0
        for place, of_column in enumerate(cells):
            step = step_of(place, weights)
            weights *= step[of_column]
            change = max(change, np.abs(step - 1).max())
        after_round(weights)
        if change < tolerance:
            break
    return weights
