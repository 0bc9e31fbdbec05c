"""Smallest and largest values: a sample as large as the training table reaches as far."""

from __future__ import annotations

import numpy as np
import torch

from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.calibration.selection import uniform
from sdv_wgangp.encoding.columns import NumericColumn, ranks_in_bins
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder


def reach_extremes(
    table: EncodedTable,
    encoder: TableEncoder,
    random: torch.Generator,
    near: int = DEFAULT.extreme_rows,
) -> None:
    """Move the value next to an extreme there, where chance left it out; in place.

    Rows drawn from a distribution miss the extremes of the training table in a third of the cases
    and more, and much is measured from end to end (SDMetrics cuts each table's columns into
    equal parts). An extreme is put into a sample of so many rows with the probability that
    it is expected in it, so that large samples have it once and small ones seldom; one that is
    there already is left as it is.

    Args:
        table: A sample.
        encoder: The training table's encoder.
        random: Source of the choice whether to.
        near: A value becomes an extreme if no more training rows lie between the two.
    """
    chances = uniform(2 * len(encoder.columns), random).reshape(-1, 2)
    for (column, index, place), chance in zip(encoder.indexed_columns, chances, strict=True):
        if not isinstance(column, NumericColumn):
            continue
        if place is not None:
            _reach_in_bins(table, column, index, place, chance, near)
        elif len(column.atoms):
            counts = column.counts[: len(column.atoms)]
            _reach_atoms(table.codes.numpy()[:, index], counts, chance, near)


def _reach_in_bins(
    table: EncodedTable,
    column: NumericColumn,
    index: int,
    place: int,
    chance: np.ndarray,
    near: int,
) -> None:
    codes, positions = table.codes.numpy()[:, index], table.positions.numpy()[:, place]
    first = len(column.atoms)
    rows, ranks = ranks_in_bins(codes, positions, first, column.bins)
    if not len(rows):
        return
    low, high = column.quantile_map.high[0], column.quantile_map.low[-1]
    for nearest, gap, frequency, drawn, code, position in (
        (ranks.argmin(), ranks.min() - low, low, chance[0], first, 0.0),
        (ranks.argmax(), high - ranks.max(), 1 - high, chance[1], first + column.bins - 1, 1.0),
    ):
        expected = len(rows) * max(frequency, 1 / column.rest_rows)
        if 0 < gap * column.rest_rows <= near and drawn < expected:
            codes[rows[nearest]], positions[rows[nearest]] = code, position


def _reach_atoms(codes: np.ndarray, counts: np.ndarray, chance: np.ndarray, near: int) -> None:
    rows = np.flatnonzero(codes < len(counts))
    if not len(rows):
        return
    last = len(counts) - 1
    present = codes[rows]
    for nearest, end, drawn in (
        (rows[present.argmin()], 0, chance[0]),
        (rows[present.argmax()], last, chance[1]),
    ):
        between = counts[1 : codes[nearest]] if end == 0 else counts[codes[nearest] + 1 : last]
        expected = len(rows) * counts[end] / counts.sum()
        if codes[nearest] != end and between.sum() <= near and drawn < expected:
            codes[nearest] = end
