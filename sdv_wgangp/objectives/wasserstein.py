"""Critic and generator steps of a Wasserstein GAN with gradient penalty.

The critic minimises ``mean f(fake) - mean f(real) + penalty``, the generator ``-mean f(fake)``
(Gulrajani et al. 2017, algorithm 1). A row is a pair ``(levels, dense)``: the level of every cell
``[rows, columns]`` and the dense channels ``[rows, channels]`` (`networks.views`).

For an `MLPCritic` both steps are analytic, without automatic differentiation; the interpolates and
their gradients are never written out level by level. Any other critic maps one-hot rows ``[rows,
levels + channels]`` to scores and takes the general path.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.objectives.gradient_penalty import direction, gradient_penalty, penalty
from sdv_wgangp.objectives.straight_through import straight_through

# Up to this many levels the one-hot matrix of a batch is the faster way to the gradient of the
# first layer; beyond, the sum over codes is.
ONE_HOT_LEVELS = 2048


class Rows(NamedTuple):
    """Rows as the critic reads them.

    Attributes:
        levels: Level of every cell, shape ``[rows, columns]``, int64.
        dense: Dense channels, shape ``[rows, channels]``.
    """

    levels: torch.Tensor
    dense: torch.Tensor


class CriticLosses(NamedTuple):
    """Scalars of one critic step: ``loss = mean f(fake) - mean f(real)``, and the penalty."""

    loss: torch.Tensor
    penalty: torch.Tensor


def one_hot(levels: torch.Tensor, width: int) -> torch.Tensor:
    """Levels ``[rows, columns]`` as float32 zeros and ones ``[rows, width]``."""
    return torch.zeros(len(levels), width, device=levels.device).scatter_(1, levels, 1.0)


def one_hot_rows(rows: Rows, width: int) -> torch.Tensor:
    """Rows as ``[rows, width + channels]``: one-hot levels beside the dense channels."""
    return torch.cat([one_hot(rows.levels, width), rows.dense], dim=1)


def critic_step(
    critic: nn.Module,
    real: Rows,
    fake: Rows,
    share: torch.Tensor,
    weight: float,
    width: int,
    masks: list[torch.Tensor] | None = None,
) -> CriticLosses:
    """Fill the critic's gradients with those of its loss and penalty.

    Args:
        critic: An `MLPCritic`, or a module from one-hot rows to scores.
        real, fake: As many rows each, a multiple of the critic's ``pac``.
        share: Place of each interpolate between its real and its fake row, ``[rows/pac, 1]``.
        weight: The penalty's lambda.
        width: Number of levels of a row.
        masks: Dropout masks for the real, fake and interpolated rows together, ``[3 rows/pac,
            hidden]`` for each hidden layer (`MLPCritic.masks`); an `MLPCritic` only.
    """
    if isinstance(critic, MLPCritic):
        return _analytic_critic_step(critic, real, fake, share, weight, masks)
    pac = getattr(critic, "pac", 1)
    packed = [
        one_hot_rows(rows, width).reshape(len(share), -1) if pac > 1 else one_hot_rows(rows, width)
        for rows in (real, fake)
    ]
    critic.zero_grad(set_to_none=True)
    loss = critic(packed[1]).mean() - critic(packed[0]).mean()
    cost = gradient_penalty(critic, *packed, share, weight)
    (loss + cost).backward()
    return CriticLosses(loss.detach(), cost.detach())


def generator_step(
    critic: nn.Module,
    fake: Rows,
    soft: torch.Tensor,
    auxiliary: torch.Tensor | None = None,
) -> torch.Tensor:
    """Back-propagate ``-mean f(fake)`` into the graphs of ``soft`` and ``fake.dense``.

    The forward pass sees the hard codes; the gradient reaches the soft ones, straight through.
    Dropout, where the critic has any, rests in this step.

    Args:
        critic: As for `critic_step`; its own gradients stay as they are.
        fake: Generated rows; ``dense`` carries a graph.
        soft: Soft codes, shape ``[rows, levels]``, with a graph.
        auxiliary: Another loss of the same graph, added.

    Returns:
        ``-mean f(fake)``, a scalar without a graph.
    """
    if isinstance(critic, MLPCritic):
        loss, to_levels, to_dense = _analytic_row_gradient(critic, fake)
        # A table of unordered categories has no dense channel with a graph.
        ends = [(soft, to_levels), (fake.dense, to_dense)]
        if auxiliary is not None:
            ends.append((auxiliary, torch.ones_like(auxiliary)))
        tensors, gradients = zip(*(end for end in ends if end[0].requires_grad), strict=True)
        torch.autograd.backward(tensors, gradients)
        return loss
    pac = getattr(critic, "pac", 1)
    rows = torch.cat([straight_through(soft, fake.levels), fake.dense], dim=1)
    trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        loss = -critic(rows.reshape(len(rows) // pac, -1) if pac > 1 else rows).mean()
        (loss if auxiliary is None else loss + auxiliary).backward()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    return loss.detach()


@torch.no_grad()
def _analytic_critic_step(critic, real, fake, share, weight, masks):
    """Critic step in three sweeps: forward, reverse, tangent.

    Notation: ``z_l`` pre-activations, ``s_l`` slopes (times the dropout mask), ``h_l = z_l s_l``.
    As the slopes are locally constant, the gradient ``g`` at an interpolate is multilinear in the
    weights, and the penalty's gradient is ``a_l' t_{l-1}`` with the reverse signals ``a_l`` and
    the tangent ``t`` of ``g``'s direction. With ``d = a_1`` and ``W`` the first layer,
    ``|g|^2 = d (W W') d'``, so the first layer costs hidden x hidden, not rows x levels.
    """
    real, fake = Rows(*critic.pack(*real)), Rows(*critic.pack(*fake))
    rows = len(real.levels)
    pair = Rows(torch.cat([real.levels, fake.levels]), torch.cat([real.dense, fake.dense]))
    first = critic.first(*pair)
    z = torch.cat([first, torch.lerp(first[:rows], first[rows:], share)])
    inputs, hidden = [], []
    for index, layer in enumerate(critic.layers):
        hidden.append(z)
        inputs.append(functional.leaky_relu(z, LEAKY_SLOPE))
        if masks is not None:
            inputs[-1] *= masks[index]
        z = torch.addmm(layer.bias, inputs[-1], layer.weight.T)
    scores = z.squeeze(1)
    loss = scores[rows : 2 * rows].mean() - scores[:rows].mean()

    upstream = scores.new_ones(3 * rows, 1)
    upstream[:rows] = -1 / rows
    upstream[rows : 2 * rows] = 1 / rows
    signals = [upstream]
    for index in reversed(range(len(critic.layers))):
        signal = signals[-1] @ critic.layers[index].weight
        signals.append(_through(signal, hidden[index], masks and masks[index]))
    signals.reverse()  # signals[l]: at the pre-activations of hidden layer l; [-1]: the scores

    d = signals[0][2 * rows :]
    gram = critic.level_weight.T @ critic.level_weight
    gram.addmm_(critic.dense_weight.T, critic.dense_weight)
    projected = d @ gram
    norms = (projected * d).sum(1).clamp_min(0).sqrt()
    kappa = direction(norms, weight)[:, None]
    tangent = kappa * projected

    outer = (d * kappa).T @ d
    to_first = signals[0][: 2 * rows]
    critic.level_weight.grad = torch.addmm(
        _scatter_levels(pair.levels, to_first, critic.level_weight), critic.level_weight, outer
    )
    critic.dense_weight.grad = torch.addmm(pair.dense.T @ to_first, critic.dense_weight, outer)
    critic.bias.grad = to_first.sum(0)
    for index, layer in enumerate(critic.layers):
        # The tangent takes the place of the interpolates' activations, so that one product
        # gives the gradients of loss and penalty together.
        mask = masks and masks[index][2 * rows :]
        inputs[index][2 * rows :] = _through(tangent, hidden[index][2 * rows :], mask)
        signal = signals[index + 1]
        layer.weight.grad = signal.T @ inputs[index]
        layer.bias.grad = signal[: 2 * rows].sum(0)
        tangent = inputs[index][2 * rows :] @ layer.weight.T
    return CriticLosses(loss, penalty(norms, weight))


@torch.no_grad()
def _analytic_row_gradient(critic, fake):
    """``-mean f`` and its gradients to one-hot levels ``[rows, levels]`` and dense channels."""
    packed = Rows(*critic.pack(*fake))
    z = critic.first(*packed)
    hidden = []
    for layer in critic.layers:
        hidden.append(z)
        z = torch.addmm(layer.bias, functional.leaky_relu(z, LEAKY_SLOPE), layer.weight.T)
    signal = torch.full_like(z, -1 / len(z))
    for layer, before in zip(reversed(critic.layers), reversed(hidden), strict=True):
        signal = _through(signal @ layer.weight, before, None)
    to_levels = signal @ critic.level_weight.T
    to_dense = signal @ critic.dense_weight.T
    rows = len(fake.levels)
    return -z.mean(), to_levels.view(rows, -1), to_dense.view(rows, -1)


def _through(signal, z, mask):
    """``signal`` times the slope at ``z`` and the mask: either way through a rectifier."""
    passed = torch.ops.aten.leaky_relu_backward(signal, z, LEAKY_SLOPE, False)
    return passed if mask is None else passed.mul_(mask)


def _scatter_levels(levels, signal, weight):
    """Sum of the signals of the rows that hold each level, shape of ``weight``."""
    if len(weight) <= ONE_HOT_LEVELS:
        hot = signal.new_zeros(len(levels), len(weight)).scatter_(1, levels, 1.0)
        return hot.T @ signal
    with torch.enable_grad():
        table = weight.detach().requires_grad_()
        summed = nn.functional.embedding_bag(levels, table, mode="sum")
    return torch.autograd.grad(summed, table, signal)[0]
