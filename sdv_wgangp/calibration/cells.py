"""Cells: what calibration distinguishes of a row, a small whole number per column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.persistence.former_names import FormerNames

# Cells of a column with positions, if its codes are not more by themselves: what scikit-learn's
# histograms hold.
MOST = 255


class Cells(FormerNames):
    """The cells of a column: its codes, intervals among them cut into equal parts.

    Args:
        column: The fitted column.
        index, place: Of the column among the codes and, with positions, among the positions.
        options: ``coarse_cells``: in the coarse view a column with positions keeps at least about
            as many cells. Neighbours in the order of the values that are rare (``rare_frequency``)
            are one coarse cell together: a generator may well give one for the other, or leave
            some out.

    Attributes:
        size: Number of cells. Codes without an interval use the first of their parts.
        coarse: Coarse cell of each cell, shape ``[size]``.
        frequencies: Fraction of the training rows in each coarse cell, float64.
        order: Place of each cell among the values of the column, "missing" last, shape
            ``[size]``; None for a category. (Cells that no row is in have the last, too.)
    """

    former_names: ClassVar = {"shares": "frequencies"}

    def __init__(
        self,
        column: CategoricalColumn | NumericColumn,
        index: int,
        place: int | None,
        options: CalibrationOptions = DEFAULT,
    ):
        self._index, self._place = index, place
        counts = np.asarray(column.counts, dtype=np.float64)
        frequencies = counts / counts.sum()
        width = len(frequencies)
        self._interval = np.zeros(width, dtype=bool)
        parts = coarse_parts = 1
        if isinstance(column, NumericColumn) and column.has_positions:
            first = len(column.atoms)
            self._interval[first : first + column.bins] = True
            coarse_parts = -(-options.coarse_cells // column.bins)
            spare = (MOST - (width - column.bins)) // (column.bins * coarse_parts)
            parts = coarse_parts * max(spare, 1)
        self._parts = parts
        self.size = width * parts
        code, part = np.divmod(np.arange(self.size), parts)
        self.coarse = code * coarse_parts + part // (parts // coarse_parts)
        of_code = np.repeat(frequencies, coarse_parts) / coarse_parts
        only = np.repeat(np.where(self._interval, 0.0, frequencies), coarse_parts)
        only[np.arange(len(only)) % coarse_parts > 0] = 0.0
        self.frequencies = np.where(np.repeat(self._interval, coarse_parts), of_code, only)
        self.order: np.ndarray | None = None
        if isinstance(column, NumericColumn):
            used = (part == 0) | self._interval[code]
            ranks = np.full(self.size, 2.0)
            on_axis = used & (code < column.axis.width)
            middle = np.where(self._interval[code], (part + 0.5) / parts, 0.5)
            ranks[on_axis] = column.axis.ranks(code[on_axis], middle[on_axis])
            self.order = np.full(self.size, used.sum() - 1)
            self.order[used] = ranks[used].argsort(kind="stable").argsort(kind="stable")
            ascending = np.flatnonzero(on_axis)[np.argsort(ranks[on_axis], kind="stable")]
            self._join_rare(ascending, options.rare_frequency)

    def _join_rare(self, ascending: np.ndarray, rare: float) -> None:
        """Make runs of rare coarse cells one, of cells in the order of their values."""
        group = np.full(len(self.frequencies), -1)
        joined: list[float] = []
        for cell in dict.fromkeys(self.coarse[ascending].tolist()):
            frequency = self.frequencies[cell]
            alone = not joined or max(frequency, joined[-1]) >= rare
            if alone:
                joined.append(0.0)
            joined[-1] += frequency
            group[cell] = len(joined) - 1
        others = group < 0  # "missing", and parts of codes without an interval
        group[others] = len(joined) + np.arange(others.sum())
        self.frequencies = np.bincount(group, self.frequencies)
        self.coarse = group[self.coarse]

    @classmethod
    def all_of(cls, encoder: TableEncoder, options: CalibrationOptions = DEFAULT) -> list[Cells]:
        """Of every column of a table."""
        return [cls(*column, options) for column in encoder.indexed_columns]

    def of(self, table: EncodedTable) -> np.ndarray:
        """Cell of every row of a table, integers ``[n]``; may be a view of its codes."""
        codes = table.codes[:, self._index].numpy()
        if self._parts == 1:
            return codes
        part = (table.positions[:, self._place].numpy() * self._parts).astype(np.int32)
        np.minimum(part, self._parts - 1, out=part)
        return codes * np.int32(self._parts) + np.where(self._interval[codes], part, 0)

    def groups(self, rows: int, least: int) -> np.ndarray:
        """Number of the group of every coarse cell, for a table of so many rows.

        Cells are together until at least so many rows are expected of them: neighbours in the
        order of the values; of a category, those that are alike in frequency.
        """
        frequencies = self.frequencies
        along = np.arange(len(frequencies))
        if self.order is None:
            along = frequencies.argsort(kind="stable")
        number, expected = -1, float(least)
        groups = np.empty(len(frequencies), dtype=np.int64)
        for cell in along:
            if expected >= least:
                number, expected = number + 1, 0.0
            groups[cell] = number
            expected += rows * frequencies[cell]
        if number and expected < least:
            groups[groups == number] -= 1
        return groups


def cells_of(columns: Sequence[Cells], table: EncodedTable) -> list[np.ndarray]:
    """Cells of the rows of a table, integers ``[n]`` for each column; may be views of its codes.

    Args:
        columns: The cells of every column.
        table: The rows.
    """
    return [column.of(table) for column in columns]
