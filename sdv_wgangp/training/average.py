"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of the parameters of a module; `optimizer.Adam` moves it.

    Args:
        module: The module that is trained; the average starts as a copy of it.
    """

    def __init__(self, module: nn.Module):
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def settle(self, batches: Iterable[tuple], part: Callable | None = None) -> nn.Module:
        """The averaged module in evaluation mode.

        Batch statistics belong to the weights they were taken with, so they are taken anew from
        ``batches`` of inputs, as plain averages.

        Args:
            batches: Arguments of the module, or of ``part``.
            part: A method or a part of the module; the one that has batch statistics, if the
                rest is not worth its time.
        """
        norms = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm1d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
        self.module.train()
        for batch in batches:
            (part or self.module)(*batch)
        return self.module.eval()
