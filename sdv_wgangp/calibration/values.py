"""Calibration of values: what rows cannot be selected by is corrected in the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.stats import chi2_contingency

from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.selection import uniform
from sdv_wgangp.encoding.columns import NumericColumn, ranks_in_bins
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.persistence.former_names import FormerNames


@dataclass(eq=False)
class BinMap(FormerNames):
    """Maps the ranks of a column's values among its bins to uniform ones, as training has them.

    Attributes:
        index, place: Of the column among the codes and among the positions.
        first: The code of its first bin.
        bins: How many it has.
        knots: Ranks, ascending from 0 to 1.
        distribution: The distribution function of generated rows there, of the same shape.
    """

    former_names: ClassVar = {
        "_place": "place",
        "_first": "first",
        "_bins": "bins",
        "_knots": "knots",
        "_shares": "distribution",
    }

    index: int
    place: int
    first: int
    bins: int
    knots: np.ndarray
    distribution: np.ndarray

    def apply(self, table: EncodedTable) -> None:
        """Change the codes and positions of a table in place."""
        codes, positions = table.codes.numpy(), table.positions.numpy()
        rows, ranks = ranks_in_bins(
            codes[:, self.index], positions[:, self.place], self.first, self.bins
        )
        ranks = np.interp(ranks, self.knots, self.distribution) * self.bins
        bins = np.minimum(ranks.astype(np.int64), self.bins - 1)
        codes[rows, self.index] = self.first + bins
        positions[rows, self.place] = ranks - bins


@dataclass(eq=False)
class RareAtoms(FormerNames):
    """Maps rare neighbouring atoms of a column by rank to their training frequencies.

    Attributes:
        index: Of the column among the codes.
        below: Ranks at which the atoms begin in generated rows, and the end of the last,
            ``[atoms + 1]``.
        wanted: The same as it should be.
        last: Last atom of the run that a code is in, or -1, ``[width]``.
    """

    former_names: ClassVar = {
        "_below": "below",
        "_wanted": "wanted",
        "_last": "last",
        "mapped": None,
    }

    index: int
    below: np.ndarray
    wanted: np.ndarray
    last: np.ndarray

    def apply(self, table: EncodedTable, draws: np.ndarray) -> None:
        """Change the codes of a table in place.

        Args:
            table: Rows.
            draws: Places of the rows within the ranks of their atoms, in [0, 1), ``[n]``.
        """
        codes = table.codes.numpy()[:, self.index]
        rows = np.flatnonzero(self.last[codes] >= 0)
        atoms = codes[rows]
        low, high = self.below[atoms], self.below[atoms + 1]
        ranks = low + draws[rows] * (high - low)
        found = np.searchsorted(self.wanted, ranks, side="right") - 1
        codes[rows] = np.minimum(found, self.last[atoms])


@dataclass(eq=False)
class ValueCalibration(FormerNames):
    """Brings the values of ordered columns to their training marginals where rows may not tell.

    Attributes:
        maps: Of the columns that need one.
    """

    former_names: ClassVar = {"_maps": "maps"}

    maps: list[BinMap | RareAtoms]

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
        maps = [each for each in self.maps if each.index not in kept]
        if any(isinstance(each, RareAtoms) for each in maps):
            draws = uniform(len(table), random)
        for each in maps:
            if isinstance(each, BinMap):
                each.apply(table)
            else:
                each.apply(table, draws)


def fit_values(
    pool: EncodedTable, encoder: TableEncoder, options: CalibrationOptions = DEFAULT
) -> ValueCalibration:
    """What has to be corrected in rows like those of a pool.

    Values in bins are mapped by rank to those of the training table; in columns of atoms alone,
    rare neighbouring values are. Other atoms stay: a value that many rows share often says
    something about the rest of the row.

    Args:
        pool: Generated rows, selected as those to calibrate will be.
        encoder: The table's encoder.
        options: Hyper-parameters.
    """
    maps: list[BinMap | RareAtoms] = []
    for column, index, place in encoder.indexed_columns:
        if not isinstance(column, NumericColumn):
            continue
        if place is not None:
            maps.append(fit_bin_map(column, index, place, pool, options.rank_knots))
        elif len(column.atoms):
            atoms = fit_rare_atoms(column, index, pool, options)
            if atoms is not None:
                maps.append(atoms)
    return ValueCalibration(maps)


def fit_bin_map(
    column: NumericColumn,
    index: int,
    place: int,
    pool: EncodedTable,
    most_knots: int = DEFAULT.rank_knots,
) -> BinMap:
    """The piecewise-linear distribution function of a column's ranks among its bins.

    Its knots follow the generated ranks, densely towards both ends.

    Args:
        column: With bins.
        index, place: Of the column among the codes and among the positions.
        pool: Generated rows.
        most_knots: Of the map, about.
    """
    first, bins = len(column.atoms), column.bins
    codes, positions = pool.codes[:, index], pool.positions[:, place]
    rows, ranks = ranks_in_bins(codes.numpy(), positions.numpy(), first, bins)
    knots = distribution = np.array([0.0, 1.0])
    if len(rows):
        ranks = np.sort(ranks)
        even = (1 - np.cos(np.linspace(0, np.pi, min(most_knots, len(ranks)) + 1))) / 2
        knots = np.union1d(knots, np.quantile(ranks, even))
        below = np.searchsorted(ranks, knots, side="left")
        below += np.searchsorted(ranks, knots, side="right")
        distribution = below / (2 * len(ranks))
        distribution[0], distribution[-1] = 0.0, 1.0
    return BinMap(index, place, first, bins, knots, distribution)


def fit_rare_atoms(
    column: NumericColumn,
    index: int,
    pool: EncodedTable,
    options: CalibrationOptions = DEFAULT,
) -> RareAtoms | None:
    """A map of a column's rare atoms, or None where they are as frequent as they should be.

    A generator has about as many rows in a long tail as there should be, and selection cares for
    that, but it may spread them badly there. Only runs of which the pool shows this are mapped,
    each onto itself.

    Args:
        column: Of atoms alone.
        index: Of the column among the codes.
        pool: Generated rows.
        options: Hyper-parameters.
    """
    counts = column.counts[: len(column.atoms)].astype(np.int64)
    codes = pool.codes[:, index].numpy()
    have = np.bincount(codes, minlength=column.width)[: len(counts)]
    below = np.concatenate([[0.0], have.cumsum() / max(len(codes), 1)])
    wanted, last = below.copy(), np.full(column.width, -1)
    for start, stop in _runs(counts < options.rare_frequency * column.counts.sum()):
        if _differ(have[start:stop], counts[start:stop], options.rare_atoms_significance):
            low, high = below[start], below[stop]
            distribution = counts[start : stop - 1].cumsum() / counts[start:stop].sum()
            wanted[start + 1 : stop] = low + distribution * (high - low)
            last[start:stop] = stop - 1
    return RareAtoms(index, below, wanted, last) if (last >= 0).any() else None


def _runs(chosen: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of True begin and end (exclusive)."""
    padded = np.concatenate([[False], chosen, [False]])
    ends = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(ends[::2], ends[1::2], strict=True))


def _differ(have: np.ndarray, counts: np.ndarray, significance: float) -> bool:
    """Whether two histograms are of different distributions, by a chi-squared test."""
    if len(counts) < 2 or not have.any():
        return False
    return chi2_contingency([have, counts], correction=False).pvalue < significance
