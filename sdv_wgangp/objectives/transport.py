r"""Squared transport distances between two clouds of as many points, all of equal weight.

A cloud is ``[points, k]``; distances are those of the squared Euclidean cost ``c(x, y) =
|x - y|^2``, so that two clouds that differ by a shift ``v`` are ``|v|^2`` apart under every one of
them. Computed in float64, differentiable in both clouds. (Peyre and Cuturi 2019, "Computational
Optimal Transport".)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from sdv_wgangp.ops import wasserstein_1d


def exact(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``W_2^2``, exactly: what `ot.emd2` of POT computes.

    Between as many points of equal weight the best plan is an assignment (proposition 2.1 of the
    book), which the host finds. The gradient goes through the costs of the points assigned to
    each other.

    Args:
        x, y: ``[points, k]``.

    Returns:
        A scalar.

    Raises:
        FloatingPointError: A cost is not finite.
        ValueError: The clouds differ in shape.
    """
    costs = _costs(x, y)
    found = costs.detach().cpu().numpy()
    if not np.isfinite(found).all():
        raise FloatingPointError("a meta-feature is not finite")
    _, match = linear_sum_assignment(found)
    assigned = torch.from_numpy(match).to(costs.device).unsqueeze(1)
    return costs.gather(1, assigned).mean()


def sinkhorn(
    x: Sequence[torch.Tensor],
    y: Sequence[torch.Tensor],
    epsilon: float = 0.05,
    iterations: int = 50,
) -> torch.Tensor:
    r"""Debiased Sinkhorn divergences (Feydy et al. 2019, equation 3), without a host round trip.

    .. math:: S(x, y) = T(x, y) - \tfrac12 T(x, x) - \tfrac12 T(y, y), \qquad
        T = \min_P \langle P, C \rangle + \epsilon \, KL(P \,|\, \tfrac1{n^2})

    It is 0 for equal clouds and tends to `exact` as epsilon goes to 0. The dual potentials come
    from a fixed number of iterations in the log domain, the two updated at once and averaged with
    what they were. The gradient is that of the envelope theorem: the plan, held constant, times
    the gradient of the costs; nothing is unrolled.

    Args:
        x, y: Pairs of clouds, ``[points, k]`` with a k of their own: many cost as much as one.
        epsilon: In units of the mean cost between the clouds (held constant in the gradient).
        iterations: Of the potentials. Smaller epsilons need more.

    Returns:
        One number for each pair.

    Raises:
        ValueError: The clouds of a pair differ in shape.
    """
    between = [_costs(*pair) for pair in zip(x, y, strict=True)]
    within = [_costs(cloud, cloud) for cloud in (*x, *y)]
    costs = torch.stack([*between, *within])
    # Of equal clouds every cost may be 0.
    tiny = torch.finfo(costs.dtype).tiny
    smoothing = epsilon * costs.detach()[: len(x)].mean((1, 2)).clamp_min(tiny)
    values = _entropic(costs, smoothing.repeat(3), iterations).view(3, -1)
    return values[0] - (values[1] + values[2]) / 2


def sliced(x: torch.Tensor, y: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    r"""Sliced Wasserstein distance, ``k`` times the mean ``W_2^2`` of projections to lines.

    The k makes up for the length that a projection loses on average. (Bonneel et al. 2015.)

    Args:
        x, y: ``[points, k]``.
        directions: Random and standard normal, ``[k, projections]``; made unit vectors here.

    Returns:
        A scalar.

    Raises:
        ValueError: The clouds differ in shape.
    """
    _check(x, y)
    lines = torch.nn.functional.normalize(directions.double(), dim=0)
    distances = wasserstein_1d(x.double() @ lines, y.double() @ lines, p=2)
    return x.shape[-1] * distances.mean()


def by_coordinate(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum over the coordinates of their one-dimensional ``W_2^2``; a scalar.

    It is at most `exact`, which must move all coordinates of a point together.

    Raises:
        ValueError: The clouds differ in shape.
    """
    _check(x, y)
    return wasserstein_1d(x.double(), y.double(), p=2).sum()


def _check(x: torch.Tensor, y: torch.Tensor) -> None:
    if x.shape != y.shape or x.dim() != 2:
        raise ValueError(
            f"two clouds of as many points are needed, got shapes {list(x.shape)} and "
            f"{list(y.shape)}"
        )


def _costs(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Squared distances of all pairs, ``[points, points]``."""
    _check(x, y)
    # Not by inner products: the difference of two large numbers has no digits left.
    return (x.double().unsqueeze(1) - y.double().unsqueeze(0)).square().sum(-1)


def _entropic(costs: torch.Tensor, smoothing: torch.Tensor, iterations: int) -> torch.Tensor:
    """Dual values of smoothed transports, with the plans as their derivatives in the costs.

    Args:
        costs: ``[problems, n, n]``.
        smoothing: ``[problems]``.
    """
    with torch.no_grad():
        log_n = math.log(costs.shape[-1])
        scaled = costs / smoothing[:, None, None]
        f, g = torch.zeros_like(scaled[:, :, :1]), torch.zeros_like(scaled[:, :1])
        for _ in range(iterations):
            new_f = log_n - (g - scaled).logsumexp(2, keepdim=True)
            new_g = log_n - (f - scaled).logsumexp(1, keepdim=True)
            f, g = (f + new_f) / 2, (g + new_g) / 2
        # Ends with a half step, after which the rows of the plan have their marginals.
        f = log_n - (g - scaled).logsumexp(2, keepdim=True)
        plan = (f + g - scaled - 2 * log_n).exp()
        value = smoothing * (f.mean((1, 2)) + g.mean((1, 2)))
    return value + (plan * (costs - costs.detach())).sum((1, 2))
