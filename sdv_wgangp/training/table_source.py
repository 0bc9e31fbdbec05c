"""Batches of an encoded table, some of whose cells are given."""

from __future__ import annotations

import torch
from torch import Tensor

from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.networks.generator import Conditions
from sdv_wgangp.players.columns import TableRows
from sdv_wgangp.players.rows import Rows
from sdv_wgangp.training.sources import ShuffledRows


class TableSource(ShuffledRows):
    """Real rows, as critics read them.

    Args:
        table: The training rows, on the device.
        player: Knows the conditions, and what critics are shown.
        batch_size, critic_steps, steps_per_epoch: See `ShuffledRows`.
    """

    def __init__(
        self,
        table: EncodedTable,
        player: TableRows,
        batch_size: int,
        critic_steps: int,
        steps_per_epoch: int,
    ):
        super().__init__(len(table), batch_size, critic_steps, steps_per_epoch)
        self.table, self._player = table, player
        self._first_levels = player.layout.offsets[:-1].to(table.codes.device)

    def batches(self, drawn: Tensor, random: torch.Generator) -> list[Rows]:
        """The real rows of a step; the first of each batch are conditional.

        Args:
            drawn: Rows of the table, ``[critic steps, batch_size]``.
        """
        sampler = self._player.conditions
        if sampler is None:
            return [self.rows(index) for index in drawn]
        index, fixed = sampler.draw(drawn, random)
        conditions = [
            Conditions(self.levels(own[: sampler.rows]), mask)
            for own, mask in zip(index, fixed.unflatten(0, (len(index), -1)), strict=True)
        ]
        return [self.rows(*each) for each in zip(index, conditions, strict=True)]

    def rows(self, index: Tensor, conditions: Conditions | None = None) -> Rows:
        """Some rows of the table."""
        return self._player.show_real(self.levels(index), self.table.positions[index], conditions)

    def levels(self, index: Tensor) -> Tensor:
        """Of every cell of some rows, ``[rows, columns]``, int64."""
        return self.table.codes[index].long() + self._first_levels
