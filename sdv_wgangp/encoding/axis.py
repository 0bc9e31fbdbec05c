"""A numeric column's codes and positions on one line, in the order of their values."""

from __future__ import annotations

import numpy as np


class RankAxis:
    """Atoms and bins of a column as *pieces* of [0, 1], in the order of their values.

    Every piece is as long as the fraction of the training rows on it, so the training column is
    uniform on the axis: an atom is an interval of its own, and a bin is cut where an atom lies
    inside it. "Missing" has no place here.

    Args:
        atom_counts: Rows on each atom, ascending by value, shape ``[atoms]``.
        atom_ranks: Where each atom stands among the other values, as a rank in [0, 1], ascending.
        bins: Number of bins of equal probability that hold the other values.
        rest_rows: Rows that hold other values.

    Attributes:
        atoms, width: Codes below ``atoms`` are atoms, codes below ``width`` atoms or bins.
        codes: Code of each piece, shape ``[pieces]``.
        low, high: Positions inside the code where the piece begins and ends.
        edges: Ranks where the pieces begin and end, shape ``[pieces + 1]``, from 0 to 1.
    """

    def __init__(self, atom_counts: np.ndarray, atom_ranks: np.ndarray, bins: int, rest_rows: int):
        atoms = len(atom_counts)
        self.atoms, self.width = atoms, atoms + bins
        cuts = np.empty(0)
        if bins:
            # A bin's edges stay as they are: an atom beside one must not cut off an empty piece.
            edges = np.arange(bins + 1) / bins
            inside = atom_ranks[(atom_ranks > 0) & (atom_ranks < 1)]
            inside = inside[np.abs(inside * bins - np.rint(inside * bins)) > 1e-9]
            cuts = np.union1d(edges, inside)
        start, end = cuts[:-1], cuts[1:]
        bin_of = np.minimum(((start + end) / 2 * bins).astype(np.int64), bins - 1)
        # An atom goes before the piece that begins at its rank; equal ones keep their order.
        place = np.concatenate([atom_ranks if bins else np.zeros(atoms), (start + end) / 2])
        order = np.argsort(place, kind="stable")
        self.codes = np.concatenate([np.arange(atoms), atoms + bin_of])[order]
        self.low = np.concatenate([np.zeros(atoms), start * bins - bin_of])[order]
        self.high = np.concatenate([np.ones(atoms), end * bins - bin_of])[order]
        rows = np.concatenate([atom_counts, (end - start) * rest_rows])[order]
        self.edges = np.concatenate([[0.0], np.cumsum(rows) / max(rows.sum(), 1)])
        self.edges[-1] = 1.0
        # Pieces sorted by code and position, to find the one that a cell lies in.
        self._by_code = np.lexsort((self.low, self.codes))
        self._starts = self.codes[self._by_code] + self.low[self._by_code]

    def ranks(self, codes: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Ranks of cells, float64 ``[n]``.

        Args:
            codes: Codes of atoms and bins, shape ``[n]``.
            within: Positions inside the bins; on an atom, which is one value, any number from 0
                to 1 (uniform ones make the ranks of the training column uniform).
        """
        # Just below 1, or the end of a code would be taken for the beginning of the next.
        cells = codes + np.minimum(within, 1 - 1e-12)
        piece = self._by_code[np.searchsorted(self._starts, cells, side="right") - 1]
        length = np.maximum(self.high[piece] - self.low[piece], 1e-300)
        along = (within - self.low[piece]) / length
        start = self.edges[piece]
        return start + np.clip(along, 0, 1) * (self.edges[piece + 1] - start)

    def cells(self, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and positions at ranks, the inverse of `ranks`."""
        piece = np.searchsorted(self.edges, ranks, side="right") - 1
        piece = np.clip(piece, 0, len(self.codes) - 1)
        start, end = self.edges[piece], self.edges[piece + 1]
        along = np.clip((ranks - start) / np.maximum(end - start, 1e-300), 0, 1)
        low = self.low[piece]
        return self.codes[piece], low + along * (self.high[piece] - low)

    def spans(self) -> np.ndarray:
        """Rank at which each code begins and the ranks it spans, shape ``[width, 2]``."""
        first, last = np.ones(self.width), np.zeros(self.width)
        np.minimum.at(first, self.codes, self.edges[:-1])
        np.maximum.at(last, self.codes, self.edges[1:])
        return np.stack([first, last - first], axis=1)
