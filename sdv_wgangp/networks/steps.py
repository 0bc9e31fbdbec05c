"""A network that says how likely a row of codes is after the rows before it.

The row's columns follow one another: the probabilities of each depend on those before it in the
row, on the last two rows, on running means, on the sequence's head and on where in it and in time
the row stands (an autoregressive factorisation, Larochelle and Murray 2011, equations 1 to 3, over
columns within steps).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, silu


class StepBatch(NamedTuple):
    """Rows and what came before them; levels number the codes of all columns.

    Attributes:
        head: Levels of the head's columns, int64 ``[rows, head columns]``.
        last, second: Levels of the last row and the one before that, int64 ``[rows, columns]``;
            each column has one level more than codes, for "no such row".
        values: Numbers that describe what came before, ``[rows, values]``.
        moments: The interval of time that the row stands in, int64 ``[rows, 1]``.
        codes: Of the row itself, int64 ``[rows, columns]``.
        ranks: Of the row, ``[rows, columns]`` in [0, 1], 1/2 where a column has no order.
    """

    head: Tensor
    last: Tensor
    second: Tensor
    values: Tensor
    moments: Tensor
    codes: Tensor
    ranks: Tensor


class StepNetwork(nn.Module):
    """Log-likelihoods of rows (`StepBatch`), column by column.

    Args:
        widths: Codes of each column.
        head_levels: Of all columns of the head together.
        values: How many numbers describe what came before.
        moments: Intervals of time.
        width: Of the layers that read what came before.
        narrow: Of the layers of a column.
        dropout: Of the former, in training.

    Example:
        >>> network = StepNetwork([3, 2], head_levels=4, values=1, moments=1).eval()
        >>> codes, none = torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[3, 6]])
        >>> batch = StepBatch(codes, none, none, torch.zeros(1, 1), codes[:, :1], codes,
        ...                   torch.zeros(1, 2))
        >>> network(batch).shape
        torch.Size([1])
    """

    offsets: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        head_levels: int,
        values: int,
        moments: int,
        width: int = 256,
        narrow: int = 64,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.widths = list(widths)
        columns, levels = len(self.widths), sum(self.widths)
        self.narrow = narrow
        self.head = nn.EmbeddingBag(head_levels, width, mode="sum")
        self.last = nn.EmbeddingBag(levels + columns, width, mode="sum")
        self.second = nn.EmbeddingBag(levels + columns, width, mode="sum")
        self.values = nn.Linear(values, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(),
                          nn.Dropout(dropout), nn.Linear(width, width))
            for _ in range(2)
        )  # fmt: skip
        self.columns = nn.Linear(width, columns * narrow)
        self.own = nn.Embedding(levels, narrow)
        self.own_ranks = nn.Parameter(0.1 * torch.randn(columns, narrow))
        self.moments = nn.Embedding(moments, narrow)
        self.mixing = nn.Parameter(torch.randn(columns, narrow, narrow) / narrow**0.5)
        self.second_mixing = nn.Parameter(torch.randn(columns, narrow, narrow) / narrow**0.5)
        self.outputs = nn.ModuleList(nn.Linear(narrow, wide + 1) for wide in self.widths)
        for table in (self.head, self.last, self.second, self.own, self.moments):
            nn.init.normal_(table.weight, std=0.1)
        offsets = torch.tensor([0, *accumulate(self.widths)])
        self.register_buffer("offsets", offsets[:-1], persistent=False)

    def context(self, batch: StepBatch) -> Tensor:
        """What came before a row, as each column reads it: ``[rows, columns, narrow]``."""
        hidden = self.head(batch.head) + self.last(batch.last) + self.second(batch.second)
        hidden = silu(hidden + self.values(batch.values))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.columns(hidden).unflatten(1, (-1, self.narrow))

    def embedded(self, column: int, codes: Tensor, ranks: Tensor) -> Tensor:
        """What later columns of a row read of one, ``[rows, narrow]``.

        Args:
            column: Its number.
            codes, ranks: Its own, ``[rows]``.
        """
        own = self.own(codes + self.offsets[column])
        return own + (2 * ranks - 1)[:, None] * self.own_ranks[column]

    def logits(self, column: int, context: Tensor, before: Tensor, last: Tensor) -> Tensor:
        """Of a column's codes, ``[rows, width]``.

        Args:
            column: Its number.
            context: Of that column, ``[rows, narrow]``.
            before: The sum of what the columns before it embed to, and the moment, likewise.
            last: The column's level in the last row, ``[rows]``.
        """
        hidden = silu(context + before @ self.mixing[column])
        hidden = hidden + silu(hidden @ self.second_mixing[column])
        *logits, copy = self.outputs[column](hidden).split([self.widths[column], 1], dim=1)
        # A value often stays: what it was is worth a number of its own. At the first row there is
        # none; its level is the one behind the column's codes.
        wide = self.widths[column]
        stays = pad(logits[0], (0, 1)).scatter_add(
            1, (last - self.first_levels[column])[:, None], copy
        )
        return stays[:, :wide]

    @property
    def first_levels(self) -> list[int]:
        """Level of the first code of each column among `StepBatch.last`'s."""
        return [start + place for place, start in enumerate([0, *accumulate(self.widths)][:-1])]

    def forward(self, batch: StepBatch) -> Tensor:
        """Log-likelihood of each row, ``[rows]``."""
        context = self.context(batch)
        before = torch.zeros_like(context[:, 0])
        total = torch.zeros_like(before[:, 0])
        for column in range(len(self.widths)):
            logits = self.logits(column, context[:, column], before, batch.last[:, column])
            total = total - cross_entropy(logits, batch.codes[:, column], reduction="none")
            before = before + self.embedded(column, batch.codes[:, column], batch.ranks[:, column])
            if column == 0:
                before = before + self.moments(batch.moments[:, 0])
        return total
