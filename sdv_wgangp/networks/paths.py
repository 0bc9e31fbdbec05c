"""Networks for paths: a generator that changes what a Gaussian process draws, and its critic."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu


class PathBatch(NamedTuple):
    """Segments of paths with what the head tells of their sequences.

    Attributes:
        scores: Normal scores, ``[rows, times, channels]``.
        head: Of the sequence, ``[rows, numbers]``.
    """

    scores: Tensor
    head: Tensor


class PathNetwork(nn.Module):
    """A path as a Gaussian process has it, plus what convolutions over time make of it.

    What they add is 0 at first: training starts at the process, whose autocorrelations and
    cross-correlations are those of the data, and learns what it lacks (tails, changing volatility,
    discreteness). Convolutions serve paths of any length.

    Args:
        channels: Of the paths.
        head: Numbers of the head.
        noise: Further independent channels of noise.
        width: Of the hidden layers.
        kernel: Steps that a convolution sees.

    Example:
        >>> network = PathNetwork(2, 3)
        >>> path = torch.randn(4, 10, 2)
        >>> after = network(path, torch.randn(4, 10, network.noise), torch.zeros(4, 3))
        >>> torch.equal(after.scores, path)
        True
    """

    def __init__(self, channels: int, head: int, noise: int = 2, width: int = 64, kernel: int = 5):
        super().__init__()
        self.noise, self.kernel = noise, kernel
        self.first = nn.Conv1d(channels + noise, width, 1)
        self.head = nn.Linear(head, width)
        self.dilations = (1, 2, 4)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel, dilation=dilation) for dilation in self.dilations
        )
        self.last = nn.Conv1d(width, channels, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, path: Tensor, noise: Tensor, head: Tensor) -> PathBatch:
        """The path, changed.

        Args:
            path: Of the process, ``[rows, times, channels]``.
            noise: ``[rows, times, noise]``.
            head: ``[rows, numbers]``.
        """
        hidden = self.first(torch.cat([path, noise], 2).transpose(1, 2))
        hidden = hidden + self.head(head)[:, :, None]
        for layer, dilation in zip(self.layers, self.dilations, strict=True):
            reach = dilation * (self.kernel - 1) // 2
            hidden = hidden + silu(layer(pad(silu(hidden), (reach, reach))))
        return PathBatch(path + self.last(silu(hidden)).transpose(1, 2), head)


class PathCritic(nn.Module):
    """Scores segments of paths as wide rows: levels, whitened levels, and changes over time.

    Args:
        times, channels, head: As of a `PathBatch`.
        whitening: ``[times * channels, directions]``: makes flattened real segments uncorrelated.
        width: Of the hidden layers.
    """

    whitening: Tensor

    def __init__(self, times: int, channels: int, head: int, whitening: Tensor, width: int = 256):
        super().__init__()
        self.register_buffer("whitening", whitening)
        inputs = (2 * times - 1) * channels + whitening.shape[1] + head
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, batch: PathBatch) -> Tensor:
        """One score a segment, ``[rows, 1]``."""
        scores = batch.scores
        flat, changes = scores.flatten(1), scores.diff(dim=1).flatten(1)
        whitened = (flat @ self.whitening).clamp(-4, 4)
        return self.layers(torch.cat([flat, changes, whitened, batch.head], 1))
