"""Where every column's codes and positions stand in the tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.copies import Copies
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder


@dataclass(frozen=True)
class Layout:
    """Shape of an encoded table, all that networks and objectives know of it.

    The one-hot *levels* of all columns stand side by side: column ``c`` owns the levels
    ``offsets[c] : offsets[c + 1]``.

    Attributes:
        offsets: Shape ``[columns + 1]``, int64.
        frequencies: Fraction of the training rows on each level, shape ``[levels]``, float32.
        ranks: First rank and span of ranks of each level, shape ``[levels, 2]``, float32; zero
            for columns without an order.
        ordered: Columns with an order, shape ``[ordered]``, int64.
        positioned: Columns with a position, shape ``[positions]``, int64.
        has_position: Whether a level is an interval, shape ``[levels]``, bool.
        missing: Columns with missing values, int64.
        copies: What copied cells are copies of; None where nothing is copied.
    """

    offsets: torch.Tensor
    frequencies: torch.Tensor
    ranks: torch.Tensor
    ordered: torch.Tensor
    positioned: torch.Tensor
    has_position: torch.Tensor
    missing: torch.Tensor
    copies: Copies | None = None

    @classmethod
    def of(cls, encoder: TableEncoder) -> Layout:
        columns = encoder.columns
        widths = torch.tensor(encoder.widths)
        counts = [torch.as_tensor(column.counts, dtype=torch.float64) for column in columns]
        ranks, intervals = [], []
        for column in columns:
            known = column.ranks
            ranks.append(
                torch.zeros(column.width, 2) if known is None else torch.as_tensor(known).float()
            )
            interval = torch.zeros(column.width, dtype=torch.bool)
            if isinstance(column, NumericColumn) and column.has_positions:
                first = len(column.atoms)
                interval[first : first + column.bins] = True
            intervals.append(interval)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), widths.cumsum(0)])
        return cls(
            offsets=offsets,
            frequencies=torch.cat([count / count.sum() for count in counts]).float(),
            ranks=torch.cat(ranks),
            ordered=_where(column.ranks is not None for column in columns),
            positioned=_where(column.has_positions for column in columns),
            has_position=torch.cat(intervals),
            missing=_where(column.missing_code is not None for column in columns),
            copies=Copies.of(encoder, offsets),
        )

    @property
    def columns(self) -> int:
        return len(self.offsets) - 1

    @property
    def levels(self) -> int:
        return int(self.offsets[-1])

    @property
    def conditionable(self) -> torch.Tensor:
        """Columns whose value may be given, int64: sets of at least two codes, no positions."""
        free = self.offsets.diff() > 1
        free[self.positioned] = False
        return free.nonzero().flatten()

    def level_index(self, table: EncodedTable) -> torch.Tensor:
        """The level of every cell, shape ``[rows, columns]``, int64."""
        return table.codes.long() + self.offsets[:-1].to(table.codes.device)


def _where(flags) -> torch.Tensor:
    return torch.tensor([index for index, flag in enumerate(flags) if flag], dtype=torch.int64)
