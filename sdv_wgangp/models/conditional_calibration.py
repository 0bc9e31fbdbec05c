"""Calibration of rows under conditions.

The training table's marginals say nothing about rows with given cells, and few training rows have
them all. The model itself can tell: among many calibrated rows drawn without conditions, the
*reference*, those that happen to have the given cells follow its conditional distribution exactly.
They are too few to be handed out, but their marginals are what rows made for the conditions are
brought to: more candidates are made than wanted, raking finds their weights, and as many as wanted
are chosen by these. What holds between the other columns comes from the generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.models.calibration import Calibration, uniform
from sdv_wgangp.models.conditions import FREE

# Candidates for each wanted row, and at least for each condition.
CANDIDATES, LEAST_CANDIDATES = 2, 64
SWEEPS = 10
# What is known from so many rows of the reference weighs as much as the generator's own shares.
DOUBT = 20.0

Complete = Callable[[torch.Tensor], EncodedTable]


class ConditionalCalibration:
    """Chooses among rows that are made for conditions.

    Args:
        calibration: Of rows without conditions.
        reference: Such rows, calibrated.
    """

    def __init__(self, calibration: Calibration, reference: EncodedTable):
        self._columns, self._values = calibration.columns, calibration.values
        self._codes = reference.codes.numpy().T.copy()  # a column's rows side by side
        self._reference = self._coarse(reference)

    def draw(
        self, given: torch.Tensor, complete: Complete, random: torch.Generator
    ) -> EncodedTable:
        """Calibrated rows.

        Args:
            given: Codes ``[rows, columns]``, or `FREE`.
            complete: Makes rows with such codes.
            random: Source of the choice among them.
        """
        if not len(given):
            return complete(given)
        if (given == given[0]).all():  # faster than finding it out
            conditions, group, counts = given[:1], given.new_zeros(len(given)), None
        else:
            conditions, group, counts = given.unique(
                dim=0, return_inverse=True, return_counts=True
            )
        wanted = np.array([len(given)]) if counts is None else counts.numpy()
        sizes = np.maximum(CANDIDATES * wanted, LEAST_CANDIDATES)
        candidates = complete(conditions.repeat_interleave(torch.from_numpy(sizes), 0))
        self._values.apply_inside_bins(candidates)
        cells = self._coarse(candidates)
        shifts = uniform(len(wanted), random)
        chosen, start = [], 0
        for place, (size, count) in enumerate(zip(sizes, wanted, strict=True)):
            own = slice(start, start + size)
            weights = self._weights(
                conditions[place].numpy(), [of[own] for of in cells], size / count
            )
            chosen.append(start + _systematic(weights, count, shifts[place]))
            start += size
        rows = np.empty(len(given), np.int64)
        rows[np.argsort(group.numpy(), kind="stable")] = np.concatenate(chosen)
        return candidates.rows(torch.from_numpy(rows))

    def _weights(self, condition: np.ndarray, cells: list[np.ndarray], most: float) -> np.ndarray:
        """Of the candidates for one condition ``[columns]``, from their coarse cells.

        None exceeds ``most`` times the mean.
        """
        weights = np.ones(len(cells[0]))
        alike = np.ones(self._codes.shape[1], dtype=bool)
        free = []
        for place, code in enumerate(condition.tolist()):
            if code == FREE:
                free.append(place)
            else:
                alike &= self._codes[place] == code
        there = np.flatnonzero(alike)
        if not len(there):
            return weights
        certain = len(there) / (len(there) + DOUBT)
        goals = []
        for place in free:
            width = len(self._columns[place].shares)
            known = np.bincount(self._reference[place][there], minlength=width) / len(there)
            have = np.bincount(cells[place], minlength=width) / len(weights)
            goals.append(certain * known + (1 - certain) * have)
        for _ in range(SWEEPS):
            for place, goal in zip(free, goals, strict=True):
                have = np.bincount(cells[place], weights, len(goal)) / weights.sum()
                # No row can be had of a cell that no candidate is in.
                step = np.divide(goal, have, out=np.ones_like(goal), where=have > 0)
                weights *= step[cells[place]]
            np.minimum(weights, most * weights.mean(), out=weights)
        return weights

    def _coarse(self, table: EncodedTable) -> list[np.ndarray]:
        return [column.coarse[column.of(table)] for column in self._columns]


def _systematic(weights: np.ndarray, count: int, shift: float) -> np.ndarray:
    """So many different places with probabilities in proportion to weights ``[n]``, all positive.

    Systematic sampling (Madow 1949); a weight beyond the share of a single row counts as that.
    """
    shares = weights * (count / weights.sum())
    while (shares > 1).any():
        full = shares >= 1
        shares[full] = 1
        shares[~full] *= (count - full.sum()) / shares[~full].sum()
    ends = shares.cumsum()
    return np.searchsorted(ends, (np.arange(count) + shift) * (ends[-1] / count), side="right")
