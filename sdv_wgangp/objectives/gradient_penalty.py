"""The gradient penalty: norms, weights and the general, automatic form.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3: with interpolates
``x = real + a (fake - real)``, ``a`` uniform per row,

    penalty = weight * mean over rows of (|| d critic(x) / dx || - 1)^2

The analytic form for multilayer perceptrons is `sdv_wgangp.ops.critic_step`, whose docstring
lists the other penalties.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

# The penalties that are taken at interpolates, and all of them.
PENALTIES_BETWEEN = ("wgan-gp", "wgan-lp")
PENALTIES = (*PENALTIES_BETWEEN, "r1", "r2", "r1+r2", "none")


def interpolate(real: torch.Tensor, fake: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """``real + share (fake - real)``; ``share`` in [0, 1] has shape ``[rows, 1]``."""
    return torch.lerp(real, fake, share)


def penalty(norms: torch.Tensor, weight: float) -> torch.Tensor:
    """``weight * mean (norm - 1)^2`` of gradient norms of shape ``[rows]``; a scalar."""
    return weight * (norms - 1).square().mean()


def direction(norms: torch.Tensor, weight: float) -> torch.Tensor:
    """``k`` with ``d penalty / d gradient = k * gradient`` per row, shape ``[rows]``.

    Rows with a zero gradient get 0, the subgradient of the norm there.
    """
    scale = 2 * weight / len(norms)
    return torch.where(norms > 0, scale * (1 - norms.reciprocal()), 0.0)


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    share: torch.Tensor,
    weight: float,
) -> torch.Tensor:
    """The penalty of any differentiable critic, by double backward; a scalar with a graph.

    Args:
        critic: Maps rows ``[rows, width]`` to scores ``[rows]``. Rows must not influence each
            other (no batch normalisation).
        real, fake: Shape ``[rows, width]``.
        share: Shape ``[rows, 1]`` in [0, 1].
        weight: The paper's lambda.
    """
    return penalty(_gradient_norms(critic, interpolate(real, fake, share)), weight)


def _gradient_norms(
    critic: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor
) -> torch.Tensor:
    """Norms of the critic's gradients at the rows, shape ``[rows]``, with a graph."""
    rows = rows.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    return gradient.norm(dim=1)


def critic_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    share: torch.Tensor | None,
    weight: float,
    kind: str,
) -> torch.Tensor:
    """Any of the `PENALTIES` of any differentiable critic, by double backward; a scalar.

    Args:
        critic, real, fake, weight: As for `gradient_penalty`.
        share: Shape ``[rows, 1]``; None for penalties without interpolates.
        kind: One of `PENALTIES`.
    """
    if kind not in PENALTIES:
        raise ValueError(f"penalty must be one of {', '.join(PENALTIES)}, got {kind}")
    if kind == "wgan-gp":
        return gradient_penalty(critic, real, fake, share, weight)
    if kind == "wgan-lp":
        above = _gradient_norms(critic, interpolate(real, fake, share)) - 1
        return weight * above.clamp_min(0).square().mean()
    total = real.new_zeros(())
    for name, rows in (("r1", real), ("r2", fake)):
        if name in kind:
            total = total + weight / 2 * _gradient_norms(critic, rows).square().mean()
    return total
