"""A table's rows, as its players, critics and terms read them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Conditions


class Rows(NamedTuple):
    """A batch of rows of a table.

    Attributes:
        levels: Level of every cell, counted over all columns, ``[rows, columns]``, int64.
        dense: Dense channels (`networks.views`), and one for each column that may be given
            (`players.given_cells`), ``[rows, channels]``.
        conditions: Cells that are given in the first rows, if any.
    """

    levels: Tensor
    dense: Tensor
    conditions: Conditions | None = None


class RowsGradient(NamedTuple):
    """A gradient at `Rows`, of their structure.

    Attributes:
        levels: At the one-hot codes, ``[rows, levels]``; None where nothing pulls at them.
        dense: At the dense channels, ``[rows, channels]``.
        conditions: Nothing pulls at given cells.
    """

    levels: Tensor | None
    dense: Tensor
    conditions: None = None


def require_conditions(rows: int, conditions: Conditions | None) -> Conditions:
    """The given cells of the first rows of a batch.

    Raises:
        ValueError: So many rows are not conditional.
    """
    if conditions is None or conditions.rows < rows:
        got = 0 if conditions is None else conditions.rows
        raise ValueError(f"the first {rows} rows must have given cells, got {got} such rows")
    return conditions


def one_hot(levels: Tensor, width: int) -> Tensor:
    """Levels ``[rows, columns]`` as float32 zeros and ones ``[rows, width]``."""
    return torch.zeros(len(levels), width, device=levels.device).scatter_(1, levels, 1.0)


class OneHotRows:
    """What a critic that knows nothing of levels reads: packed one-hot rows.

    Args:
        levels: Number of levels of a row.
        pac: Rows that are joined into one.
    """

    def __init__(self, levels: int, pac: int = 1):
        self.levels, self.pac = levels, pac

    def __call__(self, rows: Rows) -> Tensor:
        """``[rows / pac, pac * (levels + channels)]``: one-hot levels, then dense channels."""
        hot = torch.cat([one_hot(rows.levels, self.levels), rows.dense], dim=1)
        return hot.reshape(len(hot) // self.pac, -1)

    def back(self, gradient: Tensor, rows: Rows) -> RowsGradient:
        """A gradient there as one at the rows."""
        width = self.levels + rows.dense.shape[1]
        to_codes, to_dense = gradient.reshape(-1, width).split(
            [self.levels, rows.dense.shape[1]], dim=1
        )
        return RowsGradient(to_codes, to_dense)


class OneHotMLPCritic(nn.Module):
    """An `MLPCritic` that reads `OneHotRows`, at which it can be differentiated.

    Args:
        critic: Its weights are this one's.
    """

    def __init__(self, critic: MLPCritic):
        super().__init__()
        self.critic, self.pac = critic, critic.pac

    def forward(self, rows: Tensor) -> Tensor:
        """Scores ``[rows / pac]`` of packed one-hot rows."""
        critic = self.critic
        packed = rows.unflatten(1, (self.pac, critic.levels + critic.dense))
        hot, dense = packed.split([critic.levels, critic.dense], 2)
        hidden = hot.flatten(1) @ critic.level_weight + critic.bias
        return critic.scores(hidden + dense.flatten(1) @ critic.dense_weight)
