"""Calibration of a trained generator to the marginals of its training table.

Two corrections, both read off a pool of generated rows and the training marginals:

1. *Raking*: generated rows are kept or dropped so that the marginals of the kept ones are those of
   the training table. No row is changed, so what holds between the columns of a row (a duration
   of zero where there was no visit) holds afterwards.
2. Columns with an order are then mapped by rank along their `RankAxis`, which makes up for the
   little that raking leaves: limits on its weights, and what is finer than its cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sdv_wgangp.encoding.axis import RankAxis
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder

# The pool is as large as these many rows, probabilities or cells of the table allow.
POOL_ROWS = 2**17
POOL_PROBABILITIES = 2**30
POOL_CELLS = 2**26
# A column with positions is raked in at least as many cells, whatever its bins.
CELLS = 20
SWEEPS = 30
TOLERANCE = 1e-3
# Expected rows of a cell in the pool are smoothed by this, or a rare level would follow the
# pool's own noise.
SMOOTHING = 5.0
# No cell makes a row more than so many times as likely, and no row is kept more than so many
# times as often as the average one: half of the generated rows are used at least, and more where
# but a few rows are so rare.
MAX_FACTOR = 3.0
MAX_WEIGHT = 2.0
LIMIT_QUANTILE = 0.999
# Knots of a rank map beside the edges of the column's pieces, where positions are not uniform.
RANK_KNOTS = 512


def pool_rows(layout: Layout) -> int:
    """Rows of the pool that calibration should see."""
    most = min(POOL_PROBABILITIES // layout.levels, POOL_CELLS // layout.columns, POOL_ROWS)
    return max(most, 2**12)


class Raking:
    """Keeps generated rows with the probability that gives them the training marginals.

    A row's weight is a product of one factor for each of its cells, found by iterative
    proportional fitting (Deming and Stephan 1940) of the marginals one by one; rows are kept with
    a probability proportional to it (rejection sampling), up to `MAX_WEIGHT`. Of all reweightings
    with these marginals it is the one nearest to the generator in relative entropy.

    Args:
        pool: Generated rows.
        layout: The table's layout; gives the marginals.

    Attributes:
        acceptance: Share of the generated rows that are kept.
    """

    def __init__(self, pool: EncodedTable, layout: Layout):
        self._columns = _Cells.all_of(layout)
        rows = len(pool)
        cells = [column.of(pool) for column in self._columns]
        self._factors = [np.ones(len(column.shares)) for column in self._columns]
        weights = np.ones(rows)
        limit = np.inf
        for _ in range(SWEEPS):
            change = 0.0
            for cell, column, factors in zip(cells, self._columns, self._factors, strict=True):
                limited = np.minimum(weights, limit)
                have = np.bincount(cell, limited, len(factors)) * (rows / limited.sum())
                step = (rows * column.shares + SMOOTHING) / (have + SMOOTHING)
                changed = np.clip(factors * step, 1 / MAX_FACTOR, MAX_FACTOR)
                step = changed / factors
                factors[:] = changed
                weights *= step[cell]
                change = max(change, np.abs(step - 1).max())
            if change < TOLERANCE:
                break
            limit = MAX_WEIGHT * np.minimum(weights, limit).mean()
        self._limit = min(limit, np.quantile(weights, LIMIT_QUANTILE))
        self.acceptance = float(np.minimum(weights / self._limit, 1).mean())

    def kept(self, table: EncodedTable, random: torch.Generator) -> np.ndarray:
        """Indices of the rows to keep, ascending."""
        weights = np.ones(len(table))
        for column, factors in zip(self._columns, self._factors, strict=True):
            weights *= factors[column.of(table)]
        return np.flatnonzero(_uniform(len(table), random) * self._limit < weights)

    def draw(
        self, rows: int, generate: Callable[[int], EncodedTable], random: torch.Generator
    ) -> EncodedTable:
        """``rows`` rows that were kept, of as many as it takes.

        Args:
            rows: How many.
            generate: Makes that many new rows.
            random: Source of the choice.
        """
        parts, missing = [], rows
        while missing > 0:
            count = int(missing / self.acceptance * 1.02) + 16
            part = generate(count)
            part = part.rows(torch.from_numpy(self.kept(part, random)[:missing]))
            parts.append(part)
            missing -= len(part)
        if not parts:
            return generate(0)
        return EncodedTable(
            torch.cat([part.codes for part in parts]),
            torch.cat([part.positions for part in parts]),
        )


@dataclass(frozen=True)
class _Cells:
    """The cells of a column: its codes, intervals among them cut into equal parts.

    Attributes:
        index, place: Of the column among the codes and, with positions, among the positions.
        parts: Cells of every code; codes that are no interval use the first.
        interval: Whether a code is an interval, shape ``[width]``.
        shares: Share of the training rows in each cell, shape ``[width * parts]``, float64.
    """

    index: int
    place: int | None
    parts: int
    interval: np.ndarray
    shares: np.ndarray

    @classmethod
    def all_of(cls, layout: Layout) -> list[_Cells]:
        """Of every column of a layout."""
        offsets, positioned = layout.offsets.tolist(), layout.positioned.tolist()
        found = []
        for index in range(layout.columns):
            levels = slice(offsets[index], offsets[index + 1])
            shares = layout.frequencies[levels].double().numpy()
            interval = layout.has_position[levels].numpy()
            place, parts = None, 1
            if index in positioned:
                place = positioned.index(index)
                parts = -(-CELLS // int(interval.sum()))
                cells = np.zeros((len(shares), parts))
                cells[:, 0] = shares
                cells[interval] = shares[interval, None] / parts
                shares = cells.ravel()
            found.append(cls(index, place, parts, interval, shares))
        return found

    def of(self, table: EncodedTable) -> np.ndarray:
        """Cell of every row of a table, shape ``[n]``, int64."""
        codes = table.codes[:, self.index].numpy().astype(np.int64)
        if self.parts == 1:
            return codes
        inside = (table.positions[:, self.place].numpy() * self.parts).astype(np.int64)
        inside = np.minimum(inside, self.parts - 1)
        return codes * self.parts + np.where(self.interval[codes], inside, 0)


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
