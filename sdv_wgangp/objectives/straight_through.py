"""Gradients through sampled codes."""

from __future__ import annotations

import torch

from sdv_wgangp.ops import column_softmax, column_softmax_backward


class _ReinMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, levels, offsets):
        soft, _ = column_softmax(logits.detach(), torch.zeros_like(logits), offsets, 1.0)
        ctx.save_for_backward(soft, levels, offsets)
        return soft

    @staticmethod
    def backward(ctx, gradient):
        soft, levels, offsets = ctx.saved_tensors
        half = torch.full_like(levels, 0.5, dtype=soft.dtype)
        middle = (soft / 2).scatter_add(1, levels, half)
        at_middle = column_softmax_backward(gradient, middle, offsets, 1.0)
        at_soft = column_softmax_backward(gradient, soft, offsets, 1.0)
        return 2 * at_middle - at_soft / 2, None, None


def soft_codes(logits: torch.Tensor, levels: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Probabilities of the levels, whose gradient is that of the sampled ones, to second order.

    ReinMax (Liu et al. 2023, "Bridging Discrete and Backpropagation: Straight-Through and
    Beyond", algorithm 2): with ``p`` the softmax of a column, ``d`` its one-hot sample, ``v`` the
    gradient at the codes and ``J(q) v = q (v - <q, v>)`` the softmax's derivative,

        gradient at the logits = 2 J((p + d) / 2) v - J(p) v / 2.

    Where the loss is quadratic in the codes this is the exact gradient of its expectation; the
    plain straight-through estimator ``J(p) v`` is exact where it is linear.

    Args:
        logits: Shape ``[rows, levels]``.
        levels: The sampled level of every column, shape ``[rows, columns]``, int64.
        offsets: The columns' blocks, shape ``[columns + 1]``, int64.
    """
    return _ReinMax.apply(logits, levels, offsets)


def straight_through(soft: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """One-hot codes whose gradient goes to the soft codes, shape ``[rows, levels]``."""
    hard = torch.zeros_like(soft).scatter_(1, levels, 1.0)
    return hard + soft - soft.detach()
