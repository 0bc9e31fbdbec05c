"""The gradient penalty: norms, weights and the general, automatic form.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3: with interpolates
``x = real + a (fake - real)``, ``a`` uniform per row,

    penalty = weight * mean over rows of (|| d critic(x) / dx || - 1)^2

The analytic form for multilayer perceptrons is in `sdv_wgangp.objectives.wasserstein`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


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
    between = interpolate(real, fake, share).detach().requires_grad_()
    scores = critic(between)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return penalty(gradient.norm(dim=1), weight)
