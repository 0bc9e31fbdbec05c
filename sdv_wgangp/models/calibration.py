"""Calibration of a trained generator to its training table, after the training.

Three corrections, read off generated rows and the training table:

1. *Density ratio*: trees estimate how much likelier a row is in the training table than from the
   generator (`models.density_ratio`).
2. *Raking* corrects these weights so that the marginals are those of the training table
   (`models.raking`). Generated rows are then kept or dropped by their weights (rejection
   sampling). No row is changed, so what holds between the columns of a row (a duration of zero
   where there was no visit) holds afterwards.
3. Columns with an order are mapped by rank along their `RankAxis`, which makes up for the little
   that is left: limits on the weights, and what is finer than their cells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sdv_wgangp.encoding.axis import RankAxis
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.cells import Cells
from sdv_wgangp.models.density_ratio import GENERATED_TIMES, TRAINING_ROWS, DensityRatio
from sdv_wgangp.models.raking import Raking

# The pool is as large as these many rows, probabilities or cells of the table allow.
POOL_ROWS = 2**19
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
# Knots of a rank map beside the edges of the column's pieces, where positions are not uniform.
RANK_KNOTS = 512

Generate = Callable[[int], EncodedTable]


class Calibration:
    """What brings the rows of a generator closer to the training table.

    Args:
        real: The training rows.
        encoder: Their encoder.
        generate: Makes that many new rows.
        random: Source of the randomness.

    Attributes:
        acceptance: Share of the generated rows that are kept.
    """

    def __init__(
        self,
        real: EncodedTable,
        encoder: TableEncoder,
        generate: Generate,
        random: torch.Generator,
    ):
        self._columns = Cells.all_of(encoder, COARSE_CELLS)
        levels, columns = sum(encoder.widths), len(encoder.columns)
        most = max(min(POOL_PROBABILITIES // levels, POOL_CELLS // columns), 2**12)
        if len(real) > TRAINING_ROWS:
            chosen = torch.randperm(len(real), generator=random, device=random.device)
            real = real.rows(chosen[:TRAINING_ROWS].cpu())
        generated = generate(min(GENERATED_TIMES * len(real), most))
        self._ratio = DensityRatio(
            self._columns, self._cells(real), self._cells(generated), random
        )
        # Fresh rows: on those they have learned from, trees are too sure.
        pool = generate(min(POOL_ROWS, most))
        cells = self._cells(pool)
        weights = self._ratio.ratios(cells)
        self._raking = Raking(self._columns, cells, weights, limit)
        weights *= self._raking.weights(cells)
        self.acceptance = float(np.minimum(weights / self._raking.limit, 1).mean())
        self._ranks = RankCalibration(self._kept(pool, random), encoder, random)

    def draw(self, rows: int, generate: Generate, random: torch.Generator) -> EncodedTable:
        """Calibrated rows.

        Args:
            rows: How many.
            generate: Makes that many new rows; as many as it takes are asked for.
            random: Source of the choice among them.
        """
        parts, missing = [generate(0)], rows
        while missing > 0:
            count = min(int(missing / self.acceptance * 1.02) + 16, DRAWN_ROWS)
            kept = self._kept(generate(count), random)
            parts.append(kept.rows(slice(missing)))
            missing -= len(parts[-1])
        table = EncodedTable(
            torch.cat([part.codes for part in parts]),
            torch.cat([part.positions for part in parts]),
        )
        self._ranks.apply(table, random)
        return table

    def _kept(self, table: EncodedTable, random: torch.Generator) -> EncodedTable:
        """Those rows of a table that are kept, in their order."""
        cells = self._cells(table)
        weights = self._ratio.ratios(cells) * self._raking.weights(cells)
        chosen = np.flatnonzero(_uniform(len(table), random) * self._raking.limit < weights)
        return table.rows(torch.from_numpy(chosen))

    def _cells(self, table: EncodedTable) -> list[np.ndarray]:
        return [column.of(table) for column in self._columns]


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


class RankCalibration:
    """Maps the ordered columns of generated tables by rank, each to its training marginal.

    Args:
        pool: Generated rows, not mapped.
        encoder: The table's encoder.
        random: Source of the ranks inside atoms.
    """

    def __init__(self, pool: EncodedTable, encoder: TableEncoder, random: torch.Generator):
        self._axes: list[tuple[int, int | None, RankAxis]] = []
        positioned = 0
        for index, column in enumerate(encoder.columns):
            place = None
            if column.has_positions:
                place, positioned = positioned, positioned + 1
            if column.ranks is not None:
                self._axes.append((index, place, column.axis))
        self._maps: list[tuple[np.ndarray, np.ndarray]] = []
        for index, place, axis in self._axes:
            _, ranks = _ranks_on(axis, pool, index, place, random)
            self._maps.append(_distribution(ranks, axis, smooth=place is not None))

    def apply(self, table: EncodedTable, random: torch.Generator) -> None:
        """Map the codes and positions of a table in place; "missing" stays missing."""
        for (index, place, axis), (knots, shares) in zip(self._axes, self._maps, strict=True):
            on_axis, ranks = _ranks_on(axis, table, index, place, random)
            codes, positions = axis.cells(np.interp(ranks, knots, shares))
            table.codes.numpy()[on_axis, index] = codes
            if place is not None:
                table.positions.numpy()[on_axis, place] = positions


def _ranks_on(
    axis: RankAxis, table: EncodedTable, index: int, place: int | None, random: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are on the axis of a column, and their ranks there."""
    codes = table.codes[:, index].numpy().astype(np.int64)
    on_axis = np.flatnonzero(codes < axis.width)
    codes = codes[on_axis]
    # A position of a row on an atom is the head's output for some bin: it says nothing there.
    within = _uniform(len(table), random)[on_axis]
    if place is not None:
        positions = table.positions[:, place].numpy()[on_axis]
        within = np.where(codes < axis.atoms, within, positions)
    return on_axis, axis.ranks(codes, within)


def _distribution(
    ranks: np.ndarray, axis: RankAxis, smooth: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Piecewise-linear distribution function of generated ranks: knots, and shares below them.

    Inside an atom ranks are uniform, so its edges are knots enough; inside bins (``smooth``) the
    knots follow the generated ranks, densely towards both ends.
    """
    if not len(ranks):
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    ranks = np.sort(ranks)
    knots = axis.edges
    if smooth:
        even = (1 - np.cos(np.linspace(0, np.pi, min(RANK_KNOTS, len(ranks)) + 1))) / 2
        knots = np.union1d(knots, np.quantile(ranks, even))
    below = np.searchsorted(ranks, knots, side="left") + np.searchsorted(
        ranks, knots, side="right"
    )
    shares = below / (2 * len(ranks))
    shares[0], shares[-1] = 0.0, 1.0
    return knots, shares


def _uniform(rows: int, random: torch.Generator) -> np.ndarray:
    """Uniform draws in [0, 1), float64 ``[rows]``, from a generator of any device."""
    draws = torch.rand(rows, device=random.device, generator=random)
    return draws.cpu().double().numpy()
