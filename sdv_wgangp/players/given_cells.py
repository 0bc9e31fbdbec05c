"""Which cells of a batch are given to the generator, and how the critic is told.

A part of every batch is *conditional*: some cells of a real row are given, the generator makes up
the others, and the critic compares the result with that same real row, knowing which cells were
given. The rows are pairs, so they agree in the given cells, and every interpolate between them
does too.

1. How many columns are given is uniform on a logarithmic scale, from one to all that may be (all
   but one, where nothing else would be left); which ones, uniform.
2. The real rows are those of the batch. With ``log_frequency``, one of the given columns is
   chosen, a value of it with probability proportional to ``log(1 + rows)`` (Xu et al. 2019,
   section 4.3, training-by-sampling), and then a row among those with this value. Real and
   generated rows then follow the same distribution, if not the table's, and no bias arises.
3. The critic reads one channel for each column that may be given: 0, or ``mask_scale`` where the
   cell is.
"""

from __future__ import annotations

import math

import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable


def given_columns(layout: Layout, conditional_rows: int) -> torch.Tensor:
    """Columns that training may give, int64; none where it is without conditional rows."""
    columns = layout.conditionable
    return columns if layout.columns > 1 and conditional_rows else columns[:0]


class ConditionSampler:
    """Draws the given cells of the first rows of batches. All shapes are static.

    Args:
        columns: That may be given, at least one (`given_columns`).
        layout: The table's layout.
        table: The training rows, on the device.
        rows: Conditional rows in a batch.
        log_frequency: See `TrainingSettings`.
        mask_scale: Height of the channels. The penalty on the critic's gradient knows none that
            does not count; the higher a channel, the smaller the weight that has the same effect,
            and the penalty feels its square.
    """

    def __init__(
        self,
        columns: torch.Tensor,
        layout: Layout,
        table: EncodedTable,
        rows: int,
        log_frequency: bool,
        mask_scale: float = 4.0,
    ):
        device = table.codes.device
        self.rows, self.mask_scale = rows, mask_scale
        self.columns = columns.to(device)
        self._most = min(len(columns), layout.columns - 1)
        # Of every column its place among those that may be given, or the one behind them.
        self._place = torch.full((layout.columns,), len(columns), device=device)
        self._place[self.columns] = torch.arange(len(columns), device=device)
        self._log_frequency = log_frequency
        if log_frequency:
            self._index(layout.offsets.diff()[columns].tolist(), table)

    def _index(self, widths: list[int], table: EncodedTable) -> None:
        """The rows of every level, and the levels' distribution."""
        orders, counts, cumulative = [], [], []
        for place, (column, width) in enumerate(zip(self.columns.tolist(), widths, strict=True)):
            codes = table.codes[:, column]
            orders.append(codes.argsort(stable=True).int())
            counts.append(codes.int().bincount(minlength=width))
            weights = counts[-1].double().log1p().cumsum(0)
            cumulative.append(place + weights / weights[-1])
        self._order, self._counts = torch.cat(orders), torch.cat(counts)
        # Every column's rows follow those of the column before.
        self._starts = self._counts.cumsum(0) - self._counts
        self._cumulative = torch.cat(cumulative)

    def draw(
        self, index: torch.Tensor, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The real rows of batches, and which of their cells are given.

        Args:
            index: Rows of the table, ``[batches, rows of a batch]``.
            random: Source of the draws, on the device.

        Returns:
            The same, with other rows where these are drawn by ``log_frequency``; and the mask of
            the first `rows` of every batch, bool ``[batches * rows, columns]``.
        """
        count = len(index) * self.rows
        keys = _uniform(random, count, len(self.columns))
        size = torch.exp(_uniform(random, count, 1) * math.log(self._most + 1)).long()
        last = keys.sort(1)[0].gather(1, size.clamp(1, self._most) - 1)
        chosen = torch.cat([keys <= last, keys.new_zeros(count, 1, dtype=torch.bool)], 1)
        if self._log_frequency:
            drawn = self._draw_rows(keys.argmin(1), random).view(len(index), self.rows)
            index = torch.cat([drawn, index[:, self.rows :]], 1)
        return index, chosen.index_select(1, self._place)

    def _draw_rows(self, place: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """A row of the table for each column (its place), by the log frequency of its value."""
        level, within = _uniform(random, len(place), 2, dtype=torch.float64).unbind(1)
        level = torch.searchsorted(self._cumulative, place + level, right=True)
        level = level.clamp(max=len(self._counts) - 1)  # a sum may be rounded up to the last end
        counts = self._counts[level]
        inside = (within * counts).long().minimum(counts - 1)
        return self._order[self._starts[level] + inside].long()

    def channels(self, fixed: torch.Tensor, rows: int) -> torch.Tensor:
        """What the critic reads of a mask ``[n, columns]``: ``[rows, len(self.columns)]``."""
        channels = torch.zeros(rows, len(self.columns), device=fixed.device)
        channels[: len(fixed)] = fixed.index_select(1, self.columns) * self.mask_scale
        return channels


def _uniform(
    random: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    return torch.rand(shape, dtype=dtype, device=random.device, generator=random)
