"""Calibration of values: what rows cannot be selected by is corrected in the rows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from scipy.stats import chi2_contingency

from sdv_wgangp.encoding.columns import NumericColumn, ranks_in_bins
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.balancing import uniform
from sdv_wgangp.models.cells import RARE

# Knots of a rank map, at most.
RANK_KNOTS = 512
# Rare atoms are mapped where chance alone would set generated rows so far apart from the training
# rows with a lower probability.
CHANCE = 0.01


class ValueCalibration:
    """Brings the values of ordered columns to their training marginals where rows may not tell.

    Values in bins are mapped by rank to those of the training table; in columns of atoms alone,
    rare neighbouring values are. Other atoms stay: a value that many rows share often says
    something about the rest of the row.

    Args:
        pool: Generated rows, selected as those to calibrate will be.
        encoder: The table's encoder.
    """

    def __init__(self, pool: EncodedTable, encoder: TableEncoder):
        self._maps: list[BinMap | RareAtoms] = []
        for column, index, place in encoder.placed:
            if place is not None:
                self._maps.append(BinMap(column, index, place, pool))
            elif isinstance(column, NumericColumn) and len(column.atoms):
                atoms = RareAtoms(column, index, pool)
                if atoms.mapped:
                    self._maps.append(atoms)

    def apply(
        self, table: EncodedTable, random: torch.Generator, kept: Collection[int] = ()
    ) -> None:
        """Change the codes and positions of a table in place; "missing" stays missing.

        Args:
            table: Rows.
            random: Places the rows of an atom within its ranks, with one draw a row: what is equal
                in two columns mostly stays so.
            kept: Indices of columns that stay as they are.
        """
        maps = [each for each in self._maps if each.index not in kept]
        if any(isinstance(each, RareAtoms) for each in maps):
            draws = uniform(len(table), random)
        for each in maps:
            if isinstance(each, BinMap):
                each.apply(table)
            else:
                each.apply(table, draws)


class BinMap:
    """Maps the ranks of a column's values among its bins to uniform ones, as training has them.

    The knots of the piecewise-linear distribution function follow the generated ranks, densely
    towards both ends.
    """

    def __init__(self, column: NumericColumn, index: int, place: int, pool: EncodedTable):
        self.index, self._place = index, place
        self._first, self._bins = len(column.atoms), column.bins
        rows, ranks = self._ranks(pool)
        self._knots = self._shares = np.array([0.0, 1.0])
        if len(rows):
            ranks = np.sort(ranks)
            even = (1 - np.cos(np.linspace(0, np.pi, min(RANK_KNOTS, len(ranks)) + 1))) / 2
            self._knots = np.union1d(self._knots, np.quantile(ranks, even))
            below = np.searchsorted(ranks, self._knots, side="left")
            below += np.searchsorted(ranks, self._knots, side="right")
            self._shares = below / (2 * len(ranks))
            self._shares[0], self._shares[-1] = 0.0, 1.0

    def apply(self, table: EncodedTable) -> None:
        rows, ranks = self._ranks(table)
        ranks = np.interp(ranks, self._knots, self._shares) * self._bins
        bins = np.minimum(ranks.astype(np.int64), self._bins - 1)
        table.codes.numpy()[rows, self.index] = self._first + bins
        table.positions.numpy()[rows, self._place] = ranks - bins

    def _ranks(self, table: EncodedTable) -> tuple[np.ndarray, np.ndarray]:
        codes, positions = table.codes[:, self.index], table.positions[:, self._place]
        return ranks_in_bins(codes.numpy(), positions.numpy(), self._first, self._bins)


class RareAtoms:
    """Maps rare neighbouring atoms of a column by rank to their training frequencies.

    A generator has about as many rows in a long tail as there should be, and selection cares for
    that, but it may spread them badly there. Only runs of which the pool shows this are mapped,
    each onto itself.

    Attributes:
        mapped: Whether there are any.
    """

    def __init__(self, column: NumericColumn, index: int, pool: EncodedTable):
        self.index = index
        counts = column.counts[: len(column.atoms)].astype(np.int64)
        codes = pool.codes[:, index].numpy()
        have = np.bincount(codes, minlength=column.width)[: len(counts)]
        # Ranks at which the atoms begin, in the pool and as they should, and the last of the run
        # that a code is in, or -1.
        self._below = np.concatenate([[0.0], have.cumsum() / max(len(codes), 1)])
        self._wanted = self._below.copy()
        self._last = np.full(column.width, -1)
        for start, stop in _runs(counts < RARE * column.counts.sum()):
            if _differ(have[start:stop], counts[start:stop]):
                low, high = self._below[start], self._below[stop]
                shares = counts[start : stop - 1].cumsum() / counts[start:stop].sum()
                self._wanted[start + 1 : stop] = low + shares * (high - low)
                self._last[start:stop] = stop - 1
        self.mapped = bool((self._last >= 0).any())

    def apply(self, table: EncodedTable, draws: np.ndarray) -> None:
        codes = table.codes.numpy()[:, self.index]
        rows = np.flatnonzero(self._last[codes] >= 0)
        atoms = codes[rows]
        low, high = self._below[atoms], self._below[atoms + 1]
        ranks = low + draws[rows] * (high - low)
        found = np.searchsorted(self._wanted, ranks, side="right") - 1
        codes[rows] = np.minimum(found, self._last[atoms])


def _runs(chosen: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of True begin and end (exclusive)."""
    padded = np.concatenate([[False], chosen, [False]])
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2).tolist()


def _differ(have: np.ndarray, counts: np.ndarray) -> bool:
    """Whether two histograms are of different distributions, by a chi-squared test."""
    if len(counts) < 2 or not have.any():
        return False
    return chi2_contingency([have, counts], correction=False).pvalue < CHANCE
