"""The generator: noise to logits and positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout

# Columns that determine each other have to take their randomness from the shared noise; with
# small logits it comes from the sampling of each column alone, and the generator starts far from
# any dependence. So the first weights of the logits are larger than usual by this factor.
LOGIT_SPREAD = 6.0
LOG_SCALE_RANGE = (-8.0, 2.0)


class Residual(nn.Module):
    """``x -> [relu(norm(linear(x))), x]``, the concatenating residual block of CTGAN (Xu et al.
    2019, section 4.4)."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.linear = nn.Linear(width_in, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.relu(self.norm(self.linear(x))), x], dim=1)


class Generator(nn.Module):
    """Residual multilayer perceptron with one head for the logits and one for the positions.

    The biases of the logits start at the log frequencies of the training table and the positions
    near uniform, so training begins with its marginals and learns what depends on what.

    Args:
        embedding_dim: Width of the noise.
        hidden: Widths of the residual blocks.
        layout: The table's layout.
        random: Source of the initial weights.
    """

    def __init__(
        self,
        embedding_dim: int,
        hidden: Sequence[int],
        layout: Layout,
        random: torch.Generator,
    ):
        super().__init__()
        self.embedding_dim = embedding_dim
        blocks, width = [], embedding_dim
        for block_width in hidden:
            blocks.append(Residual(width, block_width))
            width += block_width
        self.body = nn.Sequential(*blocks)
        self.logits = nn.Linear(width, layout.levels)
        self.position_count = len(layout.positioned)
        self.positions = nn.Linear(width, 2 * self.position_count) if self.position_count else None
        initialise(self, random)
        with torch.no_grad():
            self.logits.weight.mul_(LOGIT_SPREAD)
            self.logits.bias.copy_(layout.frequencies.clamp_min(1e-9).log())
            if self.positions is not None:
                self.positions.bias.zero_()

    def draw(self, rows: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise and jitter for `forward`."""
        widths = (self.embedding_dim, self.position_count)
        both = torch.randn(rows, sum(widths), device=random.device, generator=random)
        return tuple(both.split(widths, dim=1))

    def forward(
        self, noise: torch.Tensor, jitter: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``[rows, levels]`` and positions ``[rows, positions]`` in (0, 1).

        Args:
            noise: Standard normal, ``[rows, embedding_dim]``; shared by all columns.
            jitter: Standard normal, ``[rows, positions]``; each column's own. The head gives its
                mean and scale, so that a column that depends on nothing costs no capacity. The
                sampling of the codes is the same for them.
        """
        features = self.body(noise)
        if self.positions is None:
            return self.logits(features), jitter
        mean, log_scale = self.positions(features).chunk(2, dim=1)
        scale = log_scale.clamp(*LOG_SCALE_RANGE).exp()
        return self.logits(features), torch.special.ndtr(mean + scale * jitter)


def initialise(module: nn.Module, random: torch.Generator) -> None:
    """Uniform weights within ``1 / sqrt(width_in)``, PyTorch's own rule, from ``random``."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = max(layer.in_features, 1) ** -0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=random)
                layer.bias.uniform_(-bound, bound, generator=random)
