"""Critic and generator steps of a Wasserstein GAN with gradient penalty.

The critic minimises ``mean f(fake) - mean f(real) + penalty``, the generator ``-mean f(fake)``
(Gulrajani et al. 2017, algorithm 1). A row is a pair ``(levels, dense)``: the level of every cell
``[rows, columns]`` and the dense channels ``[rows, channels]`` (`networks.views`).

For an `MLPCritic` both steps are compiled operators without automatic differentiation
(`sdv_wgangp.ops.critic`); the interpolates and their gradients are never written out level by
level. Any other critic maps one-hot rows ``[rows, levels + channels]`` to scores and takes the
general path.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from sdv_wgangp import ops
from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.objectives.gradient_penalty import critic_penalty
from sdv_wgangp.ops import PENALTIES_BETWEEN


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
    share: torch.Tensor | None,
    weight: float,
    width: int,
    masks: list[torch.Tensor] | None = None,
    penalty: str = "wgan-gp",
) -> CriticLosses:
    """Fill the critic's gradients with those of its loss and penalty.

    Args:
        critic: An `MLPCritic`, or a module from one-hot rows to scores.
        real, fake: As many rows each, a multiple of the critic's ``pac``.
        share: Place of each interpolate between its real and its fake row, ``[rows/pac, 1]``;
            None for penalties without interpolates.
        weight: The penalty's lambda.
        width: Number of levels of a row.
        masks: Dropout masks for the real, fake and interpolated rows together, ``[2 or 3
            rows/pac, hidden]`` for each hidden layer (`MLPCritic.masks`, `rows_of_step`); an
            `MLPCritic` only.
        penalty: One of `sdv_wgangp.ops.critic_step`'s.
    """
    if isinstance(critic, MLPCritic):
        parameters = list(critic.parameters())
        for parameter in parameters:
            # Kept from step to step: fresh memory for a wide table costs more than its arithmetic.
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        losses = ops.critic_step(
            *critic.pack(*real),
            *critic.pack(*fake),
            share,
            parameters,
            [parameter.grad for parameter in parameters],
            masks=masks or (),
            slope=LEAKY_SLOPE,
            penalty=penalty,
            weight=weight,
        )
        return CriticLosses(*losses)
    pac = getattr(critic, "pac", 1)
    packed = []
    for rows in (real, fake):
        hot = one_hot_rows(rows, width)
        packed.append(hot.reshape(len(hot) // pac, -1) if pac > 1 else hot)
    critic.zero_grad(set_to_none=True)
    loss = critic(packed[1]).mean() - critic(packed[0]).mean()
    cost = critic_penalty(critic, *packed, share, weight, penalty)
    (loss + cost).backward()
    return CriticLosses(loss.detach(), cost.detach())


def rows_of_step(rows: int, penalty: str) -> int:
    """How many packed rows a critic step works on, given the number of real ones."""
    return (3 if penalty in PENALTIES_BETWEEN else 2) * rows


def generator_loss(
    critic: nn.Module, fake: Rows, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The generator's loss ``-mean f(fake)`` and its gradient at the rows.

    Dropout of an `MLPCritic` rests in this step.

    Args:
        critic: As for `critic_step`; its own gradients stay as they are.
        fake: Generated rows, a multiple of the critic's ``pac``.
        width: Number of levels of a row.

    Returns:
        The loss, a scalar; the gradient at the one-hot codes ``[rows, levels]`` and at the dense
        channels ``[rows, channels]``. All without a graph.
    """
    rows = len(fake.levels)
    if isinstance(critic, MLPCritic):
        loss, to_codes, to_dense = ops.critic_row_gradient(
            *critic.pack(*fake), list(critic.parameters()), slope=LEAKY_SLOPE
        )
        return loss, to_codes.view(rows, width), to_dense.view_as(fake.dense)
    pac = getattr(critic, "pac", 1)
    hot = one_hot_rows(fake, width).requires_grad_()
    loss = -critic(hot.reshape(rows // pac, -1) if pac > 1 else hot).mean()
    (gradient,) = torch.autograd.grad(loss, hot)
    to_codes, to_dense = gradient.split([width, fake.dense.shape[1]], dim=1)
    return loss.detach(), to_codes, to_dense
