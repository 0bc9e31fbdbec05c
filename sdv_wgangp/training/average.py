"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of the parameters of a module.

    The decay grows from 0 as ``(1 + steps) / (10 + steps)`` up to ``decay``, so that the first
    steps do not linger in a short training.

    Args:
        module: The module that is trained; the average starts as a copy of it.
        decay: Weight of the past in each step, in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._pairs = list(zip(self.module.parameters(), module.parameters(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for average, parameter in self._pairs:
            average.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def settle(self, batches: Iterable[tuple[torch.Tensor, ...]]) -> nn.Module:
        """The averaged module in evaluation mode.

        Batch statistics belong to the weights they were taken with, so they are taken anew from
        ``batches`` of inputs, as plain averages.
        """
        norms = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm1d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
        self.module.train()
        for batch in batches:
            self.module(*batch)
        return self.module.eval()
