"""Calibration of values: what is finer than the cells by which rows are selected."""

from __future__ import annotations

import numpy as np
import torch

from sdv_wgangp.encoding.columns import NumericColumn, ranks_in_bins
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.balancing import uniform
from sdv_wgangp.models.cells import RARE

# Knots of a rank map, at most.
RANK_KNOTS = 512


class ValueCalibration:
    """Brings the values of ordered columns to their training marginals where rows may not tell.

    Values in bins are mapped by rank to those of the training table, and so are rare neighbouring
    values in columns of atoms alone. What other atoms rows have stays: a value that many rows
    share often says something about the rest of the row.

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
                self._maps.append(RareAtoms(column, index, pool))

    def apply(self, table: EncodedTable, random: torch.Generator) -> None:
        """Change the codes and positions of a table in place; "missing" stays missing."""
        for column in self._maps:
            column.apply(table, random)

    def apply_inside_bins(self, table: EncodedTable) -> None:
        """The same without rare atoms, which are right for all rows together only."""
        for column in self._maps:
            if isinstance(column, BinMap):
                column.apply(table)


class BinMap:
    """Maps the ranks of a column's values among its bins to uniform ones, as training has them.

    The knots of the piecewise-linear distribution function follow the generated ranks, densely
    towards both ends.
    """

    def __init__(self, column: NumericColumn, index: int, place: int, pool: EncodedTable):
        self._index, self._place = index, place
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

    def apply(self, table: EncodedTable, random: torch.Generator | None = None) -> None:
        rows, ranks = self._ranks(table)
        ranks = np.interp(ranks, self._knots, self._shares) * self._bins
        bins = np.minimum(ranks.astype(np.int64), self._bins - 1)
        table.codes.numpy()[rows, self._index] = self._first + bins
        table.positions.numpy()[rows, self._place] = ranks - bins

    def _ranks(self, table: EncodedTable) -> tuple[np.ndarray, np.ndarray]:
        codes, positions = table.codes[:, self._index], table.positions[:, self._place]
        return ranks_in_bins(codes.numpy(), positions.numpy(), self._first, self._bins)


class RareAtoms:
    """Maps rare values of a column of atoms, in runs of neighbours, to training frequencies.

    A generator has the rows of a long tail, but not how they are spread there. Runs are mapped by
    rank. Where the generated rows are short of the rare values at an end of the column, these and
    the next value are one run.
    """

    def __init__(self, column: NumericColumn, index: int, pool: EncodedTable):
        self._index = index
        width = len(column.atoms)
        codes = pool.codes[:, index].numpy()
        have = np.bincount(codes[codes < width], minlength=width) / max((codes < width).sum(), 1)
        shares = np.asarray(column.counts[:width]) / max(sum(column.counts[:width]), 1)
        # Of each run: its first code and, from zero to one, the shares of pool and training table
        # below the first code, the second and so on, and the end.
        self._runs: list[tuple[int, np.ndarray, np.ndarray]] = []
        for start, stop in _runs_of_rare(shares, have):
            below, wanted = (
                np.concatenate([[0.0], part[start:stop].cumsum()]) for part in (have, shares)
            )
            if stop - start > 1 and below[-1] > 0:
                self._runs.append((start, below / below[-1], wanted / wanted[-1]))

    def apply(self, table: EncodedTable, random: torch.Generator) -> None:
        codes = table.codes.numpy()[:, self._index]
        for start, below, wanted in self._runs:
            rows = np.flatnonzero((codes >= start) & (codes < start + len(below) - 1))
            place = codes[rows] - start
            # A value is an interval of ranks: a row is somewhere in it.
            ranks = below[place] + uniform(len(rows), random) * np.diff(below)[place]
            place = np.searchsorted(wanted, ranks, side="right") - 1
            codes[rows] = start + np.minimum(place, len(wanted) - 2)


def _runs_of_rare(shares: np.ndarray, have: np.ndarray) -> list[tuple[int, int]]:
    """First and last code (exclusive) of each run, for shares of training and generated rows."""
    rare = np.concatenate([[False], shares < RARE, [False]])
    edges = np.flatnonzero(np.diff(rare.astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if have[start:stop].sum() < shares[start:stop].sum():
            if start == 0:
                stop = min(stop + 1, len(shares))
            elif stop == len(shares):
                start -= 1
        if runs and start < runs[-1][1]:  # both ends want the same value
            start = runs.pop()[0]
        runs.append((start, stop))
    return runs
