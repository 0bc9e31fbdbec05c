"""The critic: rows of codes and dense channels to scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional

LEAKY_SLOPE = 0.2


class MLPCritic(nn.Module):
    """Multilayer perceptron with leaky rectifiers, whose first layer reads codes.

    A row is the one-hot levels of its cells beside its dense channels; with ``pac`` rows judged
    together (Lin et al. 2018, PacGAN) the packed row holds ``pac`` of each. The first layer of a
    one-hot row is a sum of weight rows, so no one-hot matrix is built.

    Args:
        levels: Number of levels of one row.
        dense: Number of dense channels of one row.
        hidden: Widths of the hidden layers, at least one.
        random: Source of the initial weights.
        pac: Rows judged together.
        dropout: Fraction of the hidden units dropped in training; CTGAN's critic has 0.5.
        slope: Of the rectifiers below 0.

    Attributes:
        layers: Those after the first, an `nn.ModuleList`.
    """

    layers: Iterable[nn.Linear]

    def __init__(
        self,
        levels: int,
        dense: int,
        hidden: Sequence[int],
        random: torch.Generator,
        pac: int = 1,
        dropout: float = 0.0,
        slope: float = LEAKY_SLOPE,
    ):
        super().__init__()
        if not hidden:
            raise ValueError("discriminator_dim must name at least one layer, like (256, 256)")
        self.levels, self.dense, self.pac, self.dropout = levels, dense, pac, dropout
        self.slope = slope
        self.level_weight = nn.Parameter(torch.empty(pac * levels, hidden[0]))
        self.dense_weight = nn.Parameter(torch.empty(pac * dense, hidden[0]))
        self.bias = nn.Parameter(torch.empty(hidden[0]))
        widths = [*hidden, 1]
        layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        # PyTorch's stubs know of a container's layers only that they are modules.
        self.layers = cast("Iterable[nn.Linear]", layers)
        with torch.no_grad():
            bound = (pac * (levels + dense)) ** -0.5
            for parameter in (self.level_weight, self.dense_weight, self.bias):
                parameter.uniform_(-bound, bound, generator=random)
            for layer in self.layers:
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=random)
                layer.bias.uniform_(-bound, bound, generator=random)

    def pack(self, levels: torch.Tensor, dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Join every ``pac`` rows: levels ``[rows/pac, pac*columns]``, dense likewise."""
        if self.pac == 1:
            return levels, dense
        shift = torch.arange(self.pac, device=levels.device) * self.levels
        rows = len(levels) // self.pac
        packed = levels.view(rows, self.pac, -1) + shift[:, None]
        return packed.flatten(1), dense.reshape(rows, self.pac * self.dense)

    def first(self, levels: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        """Pre-activations of the first layer for packed rows, shape ``[rows, hidden]``."""
        summed = functional.embedding_bag(levels, self.level_weight, mode="sum")
        return torch.addmm(summed + self.bias, dense, self.dense_weight)

    def forward(self, levels: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        """Scores of unpacked rows, shape ``[rows/pac]``."""
        return self.scores(self.first(*self.pack(levels, dense)))

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores ``[rows]`` from what `first` gives."""
        for layer in self.layers:
            hidden = functional.leaky_relu(hidden, self.slope)
            hidden = functional.dropout(hidden, self.dropout, self.training)
            hidden = layer(hidden)
        return hidden.squeeze(1)

    def masks(self, rows: int, random: torch.Generator) -> list[torch.Tensor] | None:
        """Dropout masks of the hidden layers, ``[rows, width]`` each, or None without dropout."""
        if not self.dropout:
            return None
        keep = 1 - self.dropout
        like = self.level_weight
        return [
            # Ten times as fast on the CPU as `bernoulli_`.
            torch.rand(
                rows, layer.in_features, device=like.device, dtype=like.dtype, generator=random
            )
            .lt_(keep)
            .div_(keep)
            for layer in self.layers
        ]
