"""Adam without momentum and the weight average, in one pass over the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import (
    check,
    check_device,
    check_dtype,
    check_floating,
    check_operand,
    check_same,
    check_shape,
)
from sdv_wgangp.ops.registry import operator

__all__ = ["adam_step"]


def _check_adam(op: str, a: Any) -> None:
    parameters, rates = a.parameters, a.rates
    for name in ("gradients", "squares", "averages"):
        tensors = getattr(a, name)
        none = name == "averages" and not tensors
        check(
            none or len(tensors) == len(parameters),
            f"{op}: {name} must be as many as the parameters, {len(parameters)}, "
            f"got {len(tensors)}",
        )
        for index, (tensor, parameter) in enumerate(zip(tensors, parameters, strict=False)):
            own = f"{name}[{index}]"
            check_shape(op, own, tensor, parameter.shape)
            if name == "gradients":
                check_operand(op, own, tensor, "its parameter", parameter)
            else:
                check_same(op, own, tensor, "its parameter", parameter)
            check(tensor.is_contiguous(), f"{op}: {own} must be contiguous")
    for index, parameter in enumerate(parameters):
        own = f"parameters[{index}]"
        check_floating(op, own, parameter)
        check(parameter.is_contiguous(), f"{op}: {own} must be contiguous")
        check_device(op, "rates", rates, own, parameter)
    check_shape(op, "rates", rates, [3])
    check_dtype(op, "rates", rates, torch.float64)
    check(0 <= a.beta < 1, f"{op}: beta must lie in [0, 1), got {a.beta:g}")
    check(a.epsilon > 0, f"{op}: epsilon must be positive, got {a.epsilon:g}")
    check(a.decay >= 0, f"{op}: decay must not be negative, got {a.decay:g}")


@operator(_check_adam, writes=("parameters", "squares", "averages"), autocast=False)
def _adam_step(
    parameters: list[Tensor],
    gradients: list[Tensor],
    squares: list[Tensor],
    averages: list[Tensor],
    rates: Tensor,
    beta: float,
    epsilon: float,
    decay: float,
) -> None:
    """See :func:`adam_step`."""
    rate, correction, ema_weight = rates.unbind()
    for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        own = gradient.to(parameter.dtype) + decay * parameter
        squares[index].mul_(beta).addcmul_(own, own, value=1 - beta)
        root = squares[index].sqrt() * correction.to(own.dtype) + epsilon
        parameter.sub_(rate.to(own.dtype) * own / root)
        if averages:
            move = ema_weight.to(own.dtype) * (parameter - averages[index])
            averages[index].add_(torch.where(move.square().isfinite(), move, 0))


def adam_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    squares: Sequence[Tensor],
    averages: Sequence[Tensor],
    rates: Tensor,
    *,
    beta: float = 0.9,
    epsilon: float = 1e-8,
    decay: float = 0.0,
) -> None:
    r"""One step of Adam with :math:`\beta_1 = 0`, and of an average of the weights.

    With gradient g, decay w and step count t (Kingma and Ba 2015, algorithm 1; the decay is an L2
    penalty as in `torch.optim.Adam`):

    .. math:: g' = g + w \theta, \quad v \leftarrow \beta v + (1 - \beta) g'^2, \quad
        \theta \leftarrow \theta - \frac{\text{rate}\; g'}{\sqrt{v}\, c + \epsilon}, \quad
        a \leftarrow a + s (\theta - a)

    where :math:`c = 1 / \sqrt{1 - \beta^t}` corrects the bias of v. Beside a parameter that is no
    number any more, or whose square would be none, the average stays where it is: what was
    learned outlives a step that fails.

    Args:
        parameters: float32 or float64, contiguous; changed in place.
        gradients: as many, of the same shapes; of the same dtypes, or bfloat16 beside float32.
        squares: v; changed in place; zeros before the first step.
        averages: a, changed in place; none at all, or as many.
        rates: float64 [3] on the device of the parameters: the learning rate, c, and s,
            which is 1 less the EMA decay. A tensor, so that a captured CUDA graph sees new ones.
        beta: :math:`\beta_2`, in [0, 1).
        epsilon: positive.
        decay: w.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device.

    Example:
        >>> weight, square = [torch.tensor([1.0])], [torch.zeros(1)]
        >>> rates = torch.tensor([0.5, 10**0.5, 0.0], dtype=torch.float64)  # c of the first step
        >>> adam_step(weight, [torch.tensor([2.0])], square, [], rates)
        >>> weight
        [tensor([0.5000])]
    """
    _adam_step(
        list(parameters),
        list(gradients),
        list(squares),
        list(averages),
        rates,
        beta,
        epsilon,
        decay,
    )
