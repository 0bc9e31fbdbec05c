"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage:
    """Exponential moving average of the parameters of a module; `optimizers.Adam` moves it.

    Args:
        module: The module that is trained; the average starts as a copy of it.
    """

    def __init__(self, module: nn.Module):
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._trained = module

    def of(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """The averages of some parameters of the trained module."""
        pairs = zip(self._trained.parameters(), self.module.parameters(), strict=True)
        averages = {id(parameter): average for parameter, average in pairs}
        return [averages[id(parameter)] for parameter in parameters]

    def state_dict(self) -> dict[str, Tensor]:
        """What `load_state_dict` of such a module takes; buffers are those of the trained one."""
        return {**self._trained.state_dict(), **dict(self.module.named_parameters())}

    @torch.no_grad()
    def update_bn(self, batches: Iterable[tuple], part: Callable | None = None) -> nn.Module:
        """The averaged module in evaluation mode, as `torch.optim.swa_utils.update_bn` makes it.

        Batch statistics belong to the weights they were taken with, so they are taken anew from
        ``batches`` of inputs, as plain averages. Other buffers are those of the trained module.

        Args:
            batches: Arguments of the module, or of ``part``; none are needed by a module without
                batch statistics.
            part: A method or a part of the module; the one that has batch statistics, if the
                rest is not worth its time.

        Raises:
            ValueError: The module has batch statistics, and there is no batch.
        """
        norms, statistics = {}, []
        for name, layer in self.module.named_modules():
            if not isinstance(layer, _BatchNorm) or not layer.track_running_stats:
                continue
            if layer.running_mean is not None and layer.running_var is not None:
                norms[name] = layer
                statistics.append((layer.running_mean, layer.running_var))
        trained = dict(self._trained.named_buffers())
        for name, buffer in self.module.named_buffers():
            if name.rpartition(".")[0] not in norms:
                buffer.copy_(trained[name])
        totals = [(torch.zeros_like(mean), torch.zeros_like(var)) for mean, var in statistics]
        hooks = [
            norm.register_forward_pre_hook(partial(_take_statistics, total, own))
            for norm, total, own in zip(norms.values(), totals, statistics, strict=True)
        ]
        count = 0
        self.module.eval()
        try:
            for batch in batches:
                (part or self.module)(*batch)
                count += 1
        finally:
            for hook in hooks:
                hook.remove()
        if norms and not count:
            raise ValueError("batches must hold at least one: the module has batch statistics")
        for own, total in zip(statistics, totals, strict=True):
            for each, of_all in zip(own, total, strict=True):
                each.copy_(of_all / count)
        return self.module


def _take_statistics(
    total: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    norm: nn.Module,
    inputs: tuple[Tensor],
) -> None:
    """Let a norm use the statistics of its input, and add them to the total.

    Mean and variance are those that it uses, its buffers; the total is of many batches.

    In training mode PyTorch's own sum over the rows would depend on the number of threads; these
    reductions are shared among the threads by columns.
    """
    rows = inputs[0].double()
    if rows.dim() > 2:  # [rows, channels, ...]: every place counts
        rows = rows.movedim(1, -1).flatten(0, -2)
    mean, variance = own
    mean.copy_(rows.mean(0))
    variance.copy_(rows.var(0, correction=0))
    total[0].add_(mean)
    total[1].add_(rows.var(0))
