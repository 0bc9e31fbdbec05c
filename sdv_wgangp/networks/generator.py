"""The generator: noise to logits and positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from sdv_wgangp.encoding.layout import Layout

LOG_SCALE_RANGE = (-8.0, 2.0)


class Conditions(NamedTuple):
    """Cells that are given, in the first rows of a batch; the generator makes up the others.

    Attributes:
        levels: Level of every cell, counted over all columns, shape ``[given rows, columns]``,
            int64; where a cell is not given, any level.
        fixed: Whether a cell is given, bool, of the same shape.
    """

    levels: torch.Tensor
    fixed: torch.Tensor

    @property
    def rows(self) -> int:
        return len(self.levels)

    def summed(self, table: torch.Tensor, gain: float) -> torch.Tensor:
        """``gain`` times the sum of a table's rows ``[levels, width]`` at the given cells,
        ``[rows, width]``."""
        weights = self.fixed.to(table.dtype) * gain
        return functional.embedding_bag(self.levels, table, mode="sum", per_sample_weights=weights)

    def derivative(self, width: int, dtype: torch.dtype, gain: float) -> torch.Tensor:
        """Of `summed` along the table's rows, ``[rows, width]``."""
        hot = torch.zeros(self.rows, width, dtype=dtype, device=self.levels.device)
        return hot.scatter_(1, self.levels, self.fixed.to(dtype) * gain)

    def impose(self, levels: torch.Tensor) -> None:
        """Put the given cells into drawn ones ``[batch rows, columns]``, in place."""
        own = levels[: self.rows]
        own.copy_(torch.where(self.fixed, self.levels, own))


class Residual(nn.Module):
    """``x -> [relu(norm(linear(x) + condition)), x]``, the concatenating residual block of CTGAN
    (Xu et al. 2019, section 4.4), with a row of weights for every level that is given.

    Args:
        width_in, width: Of what comes in and of what the block adds.
        levels: Of the rows, if the block reads conditions; else 0.
        gain: Factor of what given levels add.
    """

    # Of generators in files that do not hold it, too.
    gain: float = 8.0

    def __init__(self, width_in: int, width: int, levels: int = 0, gain: float = gain):
        super().__init__()
        self.gain = gain
        self.linear = nn.Linear(width_in, width)
        self.norm = nn.BatchNorm1d(width)
        # From zero: a level that is never given stays without effect.
        self.condition = nn.Parameter(torch.zeros(levels, width)) if levels else None

    def forward(self, x: torch.Tensor, conditions: Conditions | None = None) -> torch.Tensor:
        z = self.linear(x)
        if (given := self.given(conditions)) is not None:
            z = torch.cat([z[: len(given)] + given, z[len(given) :]])
        return torch.cat([torch.relu(self.norm(z)), x], dim=1)

    def given(self, conditions: Conditions | None) -> torch.Tensor | None:
        """What is added for given cells, ``[given rows, width]``; None where nothing is."""
        if conditions is None or self.condition is None:
            return None
        return conditions.summed(self.condition, self.gain)


class Generator(nn.Module):
    """Residual multilayer perceptron with one head for the logits and one for the positions.

    The biases of the logits start at the log frequencies of the training table and the positions
    near uniform, so training begins with its marginals and learns what depends on what.

    *Conditions*: any levels may be given for any part of a batch. What blocks add for them is a
    sum of one weight row for each given cell, gathered: an embedding of the mask and of the
    values in one. Without a given cell the sum is empty, and the row is a plain one.

    Args:
        embedding_dim: Width of the noise.
        hidden: Widths of the residual blocks.
        layout: The table's layout.
        random: Source of the initial weights.
        conditioned: How many blocks read conditions, counted from the first; 0: it takes none.
        logit_spread: Factor of the first weights of the logits. Columns that determine each other
            have to take their randomness from the shared noise; with small logits it comes from
            the sampling of each column alone, and training starts far from any dependence.
        condition_gain: Factor of what given levels add. A given cell has to outdo the noise, and
            Adam moves every weight, from zero on, by its learning rate at most.

    Attributes:
        body: The blocks, an `nn.Sequential`.
    """

    body: Iterable[Residual]

    def __init__(
        self,
        embedding_dim: int,
        hidden: Sequence[int],
        layout: Layout,
        random: torch.Generator,
        conditioned: int = 0,
        *,
        logit_spread: float = 6.0,
        condition_gain: float = Residual.gain,
    ):
        super().__init__()
        self.embedding_dim = embedding_dim
        self.conditional = conditioned > 0
        blocks, width = [], embedding_dim
        for index, block_width in enumerate(hidden):
            levels = layout.levels if index < conditioned else 0
            blocks.append(Residual(width, block_width, levels, condition_gain))
            width += block_width
        # PyTorch's stubs know of a container's layers only that they are modules.
        self.body = cast("Iterable[Residual]", nn.Sequential(*blocks))
        self.logits = nn.Linear(width, layout.levels)
        self.position_count = len(layout.positioned)
        self.positions = nn.Linear(width, 2 * self.position_count) if self.position_count else None
        initialise(self, random)
        with torch.no_grad():
            self.logits.weight.mul_(logit_spread)
            self.logits.bias.copy_(layout.frequencies.clamp_min(1e-9).log())
            if self.positions is not None:
                self.positions.bias.zero_()

    @property
    def condition_gain(self) -> float:
        """Factor of what given levels add."""
        return next(iter(self.body)).gain

    def draw(self, rows: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise and jitter for `forward`."""
        widths = (self.embedding_dim, self.position_count)
        both = torch.randn(rows, sum(widths), device=random.device, generator=random)
        noise, jitter = both.split(widths, dim=1)
        return noise, jitter

    def features(self, noise: torch.Tensor, conditions: Conditions | None = None) -> torch.Tensor:
        """What the heads read, ``[rows, features]``; see `forward`."""
        features = noise
        for block in self.body:
            features = block(features, conditions)
        return features

    def forward(
        self, noise: torch.Tensor, jitter: torch.Tensor, conditions: Conditions | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``[rows, levels]`` and positions ``[rows, positions]`` in (0, 1).

        Args:
            noise: Standard normal, ``[rows, embedding_dim]``; shared by all columns.
            jitter: Standard normal, ``[rows, positions]``; each column's own. The head gives its
                mean and scale, so that a column that depends on nothing costs no capacity. The
                sampling of the codes is the same for them.
            conditions: Given cells. (The logits of these are those of any other cell.)
        """
        features = self.features(noise, conditions)
        return self.logits(features), self.place(features, jitter)

    def place(self, features: torch.Tensor, jitter: torch.Tensor) -> torch.Tensor:
        """Positions from what the heads read; of a generator without positions, the jitter."""
        if self.positions is None:
            return jitter
        mean, log_scale = self.positions(features).chunk(2, dim=1)
        scale = log_scale.clamp(*LOG_SCALE_RANGE).exp()
        return torch.special.ndtr(mean + scale * jitter)


def initialise(module: nn.Module, random: torch.Generator) -> None:
    """Uniform weights within ``1 / sqrt(width_in)``, PyTorch's own rule, from ``random``."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = max(layer.in_features, 1) ** -0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=random)
                layer.bias.uniform_(-bound, bound, generator=random)
