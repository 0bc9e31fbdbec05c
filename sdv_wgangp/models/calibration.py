"""Calibration of a trained generator to its training table, after the training.

Corrections that are read off generated rows and the training table:

1. *Density ratio*: trees estimate how much likelier a row is in the training table than from the
   generator (`models.density_ratio`).
2. *Raking* corrects these weights so that the marginals are those of the training table
   (`models.raking`). Generated rows are then kept or dropped by their weights (rejection
   sampling). No row is changed, so what holds between the columns of a row (a duration of zero
   where there was no visit) holds afterwards.
3. What is finer than the cells of the weights is corrected in the rows (`ValueCalibration`).

Of the rows that are left, a few more than were asked for, those are returned that have the
marginals with less noise than independent rows would have (`models.balancing`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sdv_wgangp.encoding.columns import NumericColumn, ranks_in_bins
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.balancing import balanced, needed, uniform
from sdv_wgangp.models.cells import RARE, Cells
from sdv_wgangp.models.density_ratio import (
    GENERATED_TIMES,
    LEAST_ROWS,
    TRAINING_ROWS,
    DensityRatio,
)
from sdv_wgangp.models.raking import Raking

# The pool has so many times the training rows, whose own noise limits what marginals can tell,
# within these limits, and no more than these probabilities or cells of the table allow.
POOL_TIMES = 16
LEAST_POOL_ROWS, POOL_ROWS = 2**16, 2**19
POOL_PROBABILITIES = 2**30
POOL_CELLS = 2**26
# A column with positions is raked in at least as many cells, whatever its bins.
COARSE_CELLS = 20
# No row is kept more than so many times as often as the average one: a third of the generated
# rows is used at least, and more where but a few rows are so rare.
MAX_WEIGHT = 3.0
# What the limit on the weights may cut off, as a share of their sum.
CUT_OFF = 0.001
# Rows that are generated at a time for the choice among them.
DRAWN_ROWS = 2**20
# To see what is out of reach, cells with fewer expected rows of the pool are not told apart.
TOLD_ROWS = 50
# Knots of a rank map, at most.
RANK_KNOTS = 512

Generate = Callable[[int], EncodedTable]


class Calibration:
    """What brings the rows of a generator closer to the training table.

    Args:
        real: The training rows.
        encoder: Their encoder.
        generate: Makes that many new rows.
        random: Source of the randomness.
        share: Of the rows that would be looked at; less gives a rough calibration sooner.

    Attributes:
        columns: The cells of every column.
        acceptance: Share of the generated rows that are kept.
        distances: Of the marginals it gives to those of the training table, total variation in
            [0, 1], for each column: a generator that hardly makes some values leaves it no rows
            to choose.
        values: What it corrects in the rows.
    """

    def __init__(
        self,
        real: EncodedTable,
        encoder: TableEncoder,
        generate: Generate,
        random: torch.Generator,
        share: float = 1.0,
    ):
        self.columns = Cells.all_of(encoder, COARSE_CELLS)
        pool_rows = min(max(POOL_TIMES * len(real), LEAST_POOL_ROWS), POOL_ROWS)
        levels, columns = sum(encoder.widths), len(encoder.columns)
        most = max(min(POOL_PROBABILITIES // levels, POOL_CELLS // columns), 2**12)
        self._drawn_rows = min(DRAWN_ROWS, max(POOL_CELLS // columns, 2**12))
        # Fewer would leave the trees out.
        seen = min(TRAINING_ROWS, max(POOL_CELLS // (columns * GENERATED_TIMES), LEAST_ROWS))
        seen = min(len(real), max(int(share * min(len(real), seen)), LEAST_ROWS))
        if len(real) > seen:
            chosen = torch.randperm(len(real), generator=random, device=random.device)
            real = real.rows(chosen[:seen].cpu())
        generated = generate(min(GENERATED_TIMES * seen, max(int(share * most), LEAST_ROWS)))
        self._ratio = DensityRatio(self.columns, self._cells(real), self._cells(generated), random)
        # Fresh rows: on those they have learned from, trees are too sure.
        pool = generate(int(share * min(pool_rows, most)))
        cells = self._cells(pool)
        weights = self._ratio.ratios(cells)
        self._raking = Raking(self.columns, cells, weights, limit)
        weights *= self._raking.weights(cells)
        limited = np.minimum(weights, self._raking.limit)
        self.acceptance = float(limited.mean() / self._raking.limit)
        self.distances = [
            _distance(column, of_column, limited)
            for column, of_column in zip(self.columns, cells, strict=True)
        ]
        self.values = ValueCalibration(self._chosen(pool, weights, random), encoder)

    def draw(self, rows: int, generate: Generate, random: torch.Generator) -> EncodedTable:
        """Calibrated rows.

        Args:
            rows: How many.
            generate: Makes that many new rows; as many as it takes are asked for.
            random: Source of the choice among them.
        """
        if not rows:
            return generate(0)
        parts, missing, in_vain = [], needed(rows), 0
        while missing > 0:
            count = min(int(missing / self.acceptance * 1.02) + 16, self._drawn_rows)
            drawn = generate(count)
            cells = self._cells(drawn)
            weights = self._ratio.ratios(cells) * self._raking.weights(cells)
            parts.append(self._chosen(drawn, weights, random).rows(slice(missing)))
            missing -= len(parts[-1])
            in_vain = 0 if len(parts[-1]) else in_vain + count
            if in_vain * self.acceptance > 1e4:
                raise RuntimeError(
                    f"calibration kept none of {in_vain} generated rows: the model is damaged; "
                    "fit it again, or sample without calibration"
                )
        table = EncodedTable.concatenated(parts)
        self.values.apply(table, random)
        return balanced(table, self.columns, rows, random)

    def _chosen(
        self, table: EncodedTable, weights: np.ndarray, random: torch.Generator
    ) -> EncodedTable:
        """The rows of a table that their weights have kept, in their order."""
        rows = np.flatnonzero(uniform(len(table), random) * self._raking.limit < weights)
        return table.rows(torch.from_numpy(rows))

    def _cells(self, table: EncodedTable) -> list[np.ndarray]:
        return [column.of(table) for column in self.columns]


def limit(weights: np.ndarray) -> float:
    """What no weight should exceed, for weights ``[n]``.

    `MAX_WEIGHT` times the mean of what the limit leaves of them; less where less cuts off no more
    than `CUT_OFF` of their sum.
    """
    ascending = np.sort(weights)
    below = np.concatenate([[0.0], np.cumsum(ascending)])
    count = np.arange(len(weights), 0, -1)
    # With the k-th weight as the limit, the sum of what it leaves.
    left = below[:-1] + count * ascending
    small = ascending * len(weights) <= MAX_WEIGHT * left
    uncut = left >= (1 - CUT_OFF) * below[-1]
    # Weights are small up to some place, and cut nothing off from some place on.
    return ascending[min(np.flatnonzero(small)[-1], np.flatnonzero(uncut)[0])]


def _distance(column: Cells, cells: np.ndarray, weights: np.ndarray) -> float:
    """Total variation between the training marginal and that of rows with weights ``[n]``."""
    groups = column.groups(len(cells), TOLD_ROWS)
    wanted = np.bincount(groups, column.shares)
    have = np.bincount(groups[column.coarse[cells]], weights, len(wanted))
    return float(np.abs(have / have.sum() - wanted).sum() / 2)


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
        self._maps: list[_BinMap | _RareAtoms] = []
        place = 0
        for index, column in enumerate(encoder.columns):
            if column.has_positions:
                self._maps.append(_BinMap(column, index, place, pool))
                place += 1
            elif isinstance(column, NumericColumn) and len(column.atoms):
                self._maps.append(_RareAtoms(column, index, pool))

    def apply(self, table: EncodedTable, random: torch.Generator) -> None:
        """Change the codes and positions of a table in place; "missing" stays missing."""
        for column in self._maps:
            column.apply(table, random)

    def apply_inside_bins(self, table: EncodedTable) -> None:
        """The same without rare atoms, which are right for all rows together only."""
        for column in self._maps:
            if isinstance(column, _BinMap):
                column.apply(table)


class _BinMap:
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


class _RareAtoms:
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
