"""Cells: what calibration distinguishes of a row, a small whole number per column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder

# Cells of a column with positions, if its codes are not more by themselves: what scikit-learn's
# histograms hold.
MOST = 255
# Share of the rows below which a cell is rare.
RARE = 0.005


class Cells:
    """The cells of a column: its codes, intervals among them cut into equal parts.

    Args:
        column: The fitted column.
        index, place: Of the column among the codes and, with positions, among the positions.
        coarse: In the coarse view a column with positions keeps at least about as many cells.
            Neighbours in the order of the values that are rare are one coarse cell together: a
            generator may well give one for the other, or leave some out.

    Attributes:
        size: Number of cells. Codes without an interval use the first of their parts.
        coarse: Coarse cell of each cell, shape ``[size]``.
        shares: Share of the training rows in each coarse cell, float64.
        order: Place of each cell among the values of the column, "missing" last, shape
            ``[size]``; None for a category. (Cells that no row is in have the last, too.)
    """

    def __init__(self, column, index: int, place: int | None, coarse: int):
        self._index, self._place = index, place
        counts = np.asarray(column.counts, dtype=np.float64)
        shares = counts / counts.sum()
        width = len(shares)
        self._interval = np.zeros(width, dtype=bool)
        parts = coarse_parts = 1
        if column.has_positions:
            first = len(column.atoms)
            self._interval[first : first + column.bins] = True
            coarse_parts = -(-coarse // column.bins)
            spare = (MOST - (width - column.bins)) // (column.bins * coarse_parts)
            parts = coarse_parts * max(spare, 1)
        self._parts = parts
        self.size = width * parts
        code, part = np.divmod(np.arange(self.size), parts)
        self.coarse = code * coarse_parts + part // (parts // coarse_parts)
        of_code = np.repeat(shares, coarse_parts) / coarse_parts
        only = np.repeat(np.where(self._interval, 0.0, shares), coarse_parts)
        only[np.arange(len(only)) % coarse_parts > 0] = 0.0
        self.shares = np.where(np.repeat(self._interval, coarse_parts), of_code, only)
        self.order = None
        if isinstance(column, NumericColumn):
            used = (part == 0) | self._interval[code]
            ranks = np.full(self.size, 2.0)
            on_axis = used & (code < column.axis.width)
            middle = np.where(self._interval[code], (part + 0.5) / parts, 0.5)
            ranks[on_axis] = column.axis.ranks(code[on_axis], middle[on_axis])
            self.order = np.full(self.size, used.sum() - 1)
            self.order[used] = ranks[used].argsort(kind="stable").argsort(kind="stable")
            self._join_rare(np.flatnonzero(on_axis)[np.argsort(ranks[on_axis], kind="stable")])

    def _join_rare(self, ascending: np.ndarray) -> None:
        """Make runs of rare coarse cells one, of cells in the order of their values."""
        group = np.full(len(self.shares), -1)
        joined: list[float] = []
        for cell in dict.fromkeys(self.coarse[ascending].tolist()):
            share = self.shares[cell]
            alone = not joined or max(share, joined[-1]) >= RARE
            if alone:
                joined.append(0.0)
            joined[-1] += share
            group[cell] = len(joined) - 1
        others = group < 0  # "missing", and parts of codes without an interval
        group[others] = len(joined) + np.arange(others.sum())
        shares = np.bincount(group, self.shares)
        self.coarse, self.shares = group[self.coarse], shares

    @classmethod
    def all_of(cls, encoder: TableEncoder, coarse: int) -> list[Cells]:
        """Of every column of a table."""
        return [cls(*placed, coarse) for placed in encoder.placed]

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
        shares = self.shares
        along = np.arange(len(shares)) if self.order is not None else shares.argsort(kind="stable")
        number, expected = -1, float(least)
        groups = np.empty(len(shares), dtype=np.int64)
        for cell in along:
            if expected >= least:
                number, expected = number + 1, 0.0
            groups[cell] = number
            expected += rows * shares[cell]
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
