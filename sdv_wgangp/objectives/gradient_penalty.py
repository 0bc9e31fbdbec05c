"""The gradient penalty of any critic, by automatic differentiation.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3: with interpolates
``x = real + epsilon (fake - real)``, epsilon uniform per row,

    penalty = weight * mean over rows of (|| d critic(x) / dx || - 1)^2

The interpolates, and norm, penalty and its direction, are compiled operators
(`sdv_wgangp.ops.penalty`); the critic between them is the caller's. The analytic form for
multilayer perceptrons is `sdv_wgangp.ops.critic_step`, whose docstring lists the penalties that
have one. The others are here alone, and need automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sdv_wgangp import ops

# Penalties without a closed form, at interpolates: from the norms of the gradients ``[rows]`` to
# the cost of each row. One more is a line here, and its name in the choices of `parameters`.
_OF_NORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    # Thanh-Tung et al. 2019, "Improving Generalization and Stability of Generative Adversarial
    # Networks", section 5.
    "zero-gp": torch.square,
}
PENALTIES = (*ops.PENALTIES[:-1], *_OF_NORMS, ops.PENALTIES[-1])
PENALTIES_BETWEEN = (*ops.PENALTIES_BETWEEN, *_OF_NORMS)


def critic_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    epsilon: torch.Tensor | None,
    weight: float,
    kind: str,
) -> torch.Tensor:
    """Any of the `PENALTIES` of any differentiable critic, by double backward.

    Args:
        critic: Maps rows ``[rows, ...]`` (of a table, sequences, images) to scores ``[rows]``.
            Rows must not influence each other (no batch normalisation).
        real, fake: Shape ``[rows, ...]``, float32 or float64. Neither receives a gradient.
        epsilon: Place of each interpolate between its real and its fake row, shape ``[rows, 1]``
            in [0, 1], whatever the shape of the rows; None for penalties without interpolates.
        weight: The paper's lambda, finite and not negative.
        kind: One of `PENALTIES`.

    Returns:
        The penalty, a scalar with a graph to the critic's parameters.

    Raises:
        ValueError: If the kind is unknown, or epsilon is missing.
        RuntimeError: Names the argument whose shape or dtype is wrong.
    """
    if kind not in PENALTIES:
        raise ValueError(f"penalty must be one of {', '.join(PENALTIES)}, got {kind}")
    if kind in PENALTIES_BETWEEN:
        if epsilon is None:
            raise ValueError(f"epsilon must be given for penalty {kind}")
        between = ops.interpolate(real.detach(), fake.detach(), epsilon.detach())
        if kind in _OF_NORMS:
            return weight * _OF_NORMS[kind](_gradient_norms(critic, between)).mean()
        return _penalty_at(critic, between, weight, kind)
    total = real.new_zeros(())
    for name, rows in (("r1", real), ("r2", fake)):
        if name in kind:
            total = total + _penalty_at(critic, rows, weight, name)
    return total


def _penalty_at(
    critic: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, weight: float, kind: str
) -> torch.Tensor:
    """The penalty of the critic's gradients at the rows, a scalar with a graph."""
    return ops.gradient_norm_penalty(_gradients(critic, rows), weight, kind)[0]


def _gradients(critic: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """Of the critic's scores at the rows, of their shape, with a graph."""
    rows = rows.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    return gradient


def _gradient_norms(
    critic: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor
) -> torch.Tensor:
    """Euclidean norms of the gradients over all elements of a row, ``[rows]``, with a graph.

    A norm of 0 has the derivative 0.
    """
    squares = _gradients(critic, rows).flatten(1).square().sum(1)
    return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
