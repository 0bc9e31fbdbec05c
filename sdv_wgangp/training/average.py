"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial

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
        totals = [
            (torch.zeros_like(n.running_mean), torch.zeros_like(n.running_var)) for n in norms
        ]
        hooks = [
            norm.register_forward_pre_hook(partial(_take_statistics, total))
            for norm, total in zip(norms, totals, strict=True)
        ]
        count = 0
        self.module.eval()
        for batch in batches:
            (part or self.module)(*batch)
            count += 1
        for norm, hook, (mean, variance) in zip(norms, hooks, totals, strict=True):
            hook.remove()
            norm.running_mean.copy_(mean / count)
            norm.running_var.copy_(variance / count)
        return self.module


def _take_statistics(
    total: tuple[torch.Tensor, torch.Tensor], norm: nn.BatchNorm1d, inputs: tuple[torch.Tensor]
) -> None:
    """Let a norm use the statistics of its input, and add them to the total.

    In training mode PyTorch's own sum over the rows would depend on the number of threads; these
    reductions are shared among the threads by columns.
    """
    rows = inputs[0].double()
    norm.running_mean.copy_(rows.mean(0))
    norm.running_var.copy_(rows.var(0, correction=0))
    total[0].add_(norm.running_mean)
    total[1].add_(rows.var(0))
