r"""The gradient penalty of any critic: interpolates, and norm and penalty of its gradients.

Operators in plain PyTorch (the fallback and the tests' oracle), with shapes and derivatives.
Between the two lies the critic, of which nothing is known but that it can be differentiated twice:

.. code-block:: python

    rows = interpolate(real, fake, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    penalty, norms = gradient_norm_penalty(gradient, weight)
    penalty.backward()

A row is all that follows the first dimension: ``[rows, width]``, ``[rows, steps, channels]``,
``[rows, channels, height, width]``. Results lie in memory as the first argument does (channels
last stay so). Norms are summed in float64, whatever networks train in.

``docs/derivations.md`` derives the derivatives. For multilayer perceptrons
:func:`sdv_wgangp.ops.critic_step` does the whole step without automatic differentiation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_floating, check_like
from sdv_wgangp.ops.registry import operator

__all__ = ["gradient_norm_penalty", "interpolate"]

# --- checks --------------------------------------------------------------------------------------

KINDS = ("wgan-gp", "wgan-lp", "r1", "r2")


def _check_rows(op: str, name: str, tensor: Tensor) -> None:
    check(
        tensor.dim() >= 2,
        f"{op}: {name} must have two dimensions or more (rows, ...), "
        f"got shape {list(tensor.shape)}",
    )
    check_floating(op, name, tensor)


def _check_interpolate(op: str, a: Any) -> None:
    _check_rows(op, "real", a.real)
    check_like(op, "real", a.real, "fake", a.fake, a.real.shape)
    check_like(op, "real", a.real, "epsilon", a.epsilon, [a.real.shape[0], 1])


def _check_penalty(op: str, a: Any) -> None:
    gradient, weight, kind = a.gradient, a.weight, a.kind
    _check_rows(op, "gradient", gradient)
    check(gradient.shape[0] > 0, f"{op}: gradient has no rows, got shape {list(gradient.shape)}")
    check(
        weight >= 0 and math.isfinite(weight),
        f"{op}: weight must be finite and not negative, got {weight:g}",
    )
    check(kind in KINDS, f"{op}: kind must be wgan-gp, wgan-lp, r1 or r2, got {kind}")


def _check_penalty_backward(op: str, a: Any) -> None:
    _check_penalty(op, a)
    check_like(op, "gradient", a.gradient, "grad_penalty", a.grad_penalty, [])
    if a.grad_norms is not None:
        check_like(op, "gradient", a.gradient, "grad_norms", a.grad_norms, [len(a.gradient)])


# --- interpolate ---------------------------------------------------------------------------------


def _per_row(values: Tensor, rows: Tensor) -> Tensor:
    """``values`` [rows] or [rows, 1], shaped so that it multiplies ``rows`` row by row."""
    return values.reshape(-1, *[1] * (rows.dim() - 1))


def _interpolate_context(ctx: Any, a: Any, output: Tensor) -> None:
    # The rows are kept only where epsilon is to have a gradient, which it seldom is.
    ctx.save_for_backward(a.epsilon, *((a.real, a.fake) if ctx.needs_input_grad[2] else ()))


def _interpolate_gradient(ctx: Any, grad: Tensor) -> dict[str, Tensor | None]:
    epsilon, *ends = ctx.saved_tensors
    to_real, to_fake, to_epsilon = ctx.needs_input_grad
    per_row = _per_row(epsilon, grad)
    inner = (grad * (ends[1] - ends[0])).flatten(1).sum(1, keepdim=True) if to_epsilon else None
    return {
        "real": grad * (1 - per_row) if to_real else None,
        "fake": grad * per_row if to_fake else None,
        "epsilon": inner,
    }


@operator(
    _check_interpolate,
    lambda a: torch.empty_like(a.real),
    backward=_interpolate_gradient,
    context=_interpolate_context,
)
def interpolate(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    r"""Points between real and fake rows, :math:`x + a (y - x)` with one epsilon :math:`a` a row.

    The points at which Gulrajani et al. 2017, algorithm 1, penalise the critic's gradient; an
    epsilon of 0 gives the real row and one of 1 the fake one, to the bit.

    Args:
        real: float32 or float64 [rows, ...], at any strides.
        fake: like ``real``.
        epsilon: [rows, 1], whatever the shape of the rows; of the same dtype.

    Returns:
        [rows, ...], in memory as ``real``, differentiable (twice) in all three.

    Raises:
        RuntimeError: names the argument whose shape, dtype or device is wrong.

    Example:
        >>> interpolate(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[0.25]])).tolist()
        [[0.25, 0.25]]
    """
    return torch.empty_like(real).copy_(torch.lerp(real, fake, _per_row(epsilon, real)))


# --- gradient_norm_penalty_backward --------------------------------------------------------------


def _norms(gradient: Tensor) -> Tensor:
    """Norms [rows] in float64; 0 is their derivative at 0. Squares never overflow or vanish."""
    rows = gradient.flatten(1).double()
    if gradient.dtype != torch.float64 or rows.shape[1] == 0:
        return torch.linalg.vector_norm(rows, dim=1)
    largest = rows.detach().abs().amax(1)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    return torch.linalg.vector_norm(rows / scale[:, None], dim=1) * scale


def _inverse(norms: Tensor) -> Tensor:
    """1 / n, and 0 for a norm of 0, neither with an infinite derivative; see formulas.h."""
    return torch.where(norms == 0, math.inf, norms.clamp_min(2.0**-960)).reciprocal()


def _pull(norms: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Of a row's term psi of the penalty, as functions of its norm n: psi' / n and n (psi' / n)'.

    With them the direction along the gradient g is ``weight / rows * psi' / n * g``, and its
    derivative has no power of n beyond those of the unit vector g / n.
    """
    if kind not in ("wgan-gp", "wgan-lp"):
        return torch.where(norms.isnan(), norms, 1.0), torch.zeros_like(norms)
    flat = norms == 0 if kind == "wgan-gp" else norms <= 1
    inverse = _inverse(norms)
    return torch.where(flat, 0.0, 2 * (1 - inverse)), torch.where(flat, 0.0, 2 * inverse)


def _backward_context(ctx: Any, a: Any, output: Tensor) -> None:
    ctx.weight, ctx.kind = a.weight, a.kind
    ctx.save_for_backward(a.grad_penalty, a.grad_norms, a.gradient)


def _backward_backward(ctx: Any, h: Tensor) -> dict[str, Tensor | None]:
    """Derivative of <h, r> for the rows r = f g, with f = p k pull(n) + q / n, k = weight / rows.

    p and q are the gradients of penalty and norms. With the unit vector u = g / n, t = <h, u>:
    in p, k sum of pull n t; in q, t; in g, f h + (p k n pull' - q / n) t u, as df = f' <u, dg>.
    In float64: the powers of small norms would overflow in float32.
    """
    grad_penalty, grad_norms, gradient = ctx.saved_tensors
    scale = ctx.weight / len(gradient)
    norms = _norms(gradient)
    pull, bend = _pull(norms, ctx.kind)
    inverse = _inverse(norms)
    rows = gradient.flatten(1).double()
    unit = rows * inverse[:, None]
    across = h.flatten(1).double()
    along = (across * unit).sum(1)
    to_penalty = scale * (pull * norms * along).sum()
    given = grad_penalty.double() * scale
    factor, turn = given * pull, given * bend
    to_norms = None
    if grad_norms is not None:
        to_norms = along.to(gradient.dtype)
        factor = factor + grad_norms.double() * inverse
        turn = turn - grad_norms.double() * inverse
    to_gradient = factor[:, None] * across + (turn * along)[:, None] * unit
    return {
        "grad_penalty": to_penalty.to(gradient.dtype),
        "grad_norms": to_norms,
        "gradient": to_gradient.to(gradient.dtype).view(gradient.shape),
    }


@operator(
    _check_penalty_backward,
    lambda a: torch.empty_like(a.gradient),
    backward=_backward_backward,
    context=_backward_context,
)
def _gradient_norm_penalty_backward(
    grad_penalty: Tensor, grad_norms: Tensor | None, gradient: Tensor, weight: float, kind: str
) -> Tensor:
    """Gradient of ``gradient`` from those of the penalty and the norms (see formulas.h)."""
    norms = _norms(gradient)
    factor = grad_penalty.double() * (weight / len(gradient)) * _pull(norms, kind)[0]
    if grad_norms is not None:
        factor = factor + grad_norms.double() * _inverse(norms)
    return torch.empty_like(gradient).copy_(_per_row(factor, gradient) * gradient.double())


# --- gradient_norm_penalty -----------------------------------------------------------------------


def _empty_penalty(a: Any) -> tuple[Tensor, Tensor]:
    return a.gradient.new_empty(()), a.gradient.new_empty(len(a.gradient))


def _penalty_context(ctx: Any, a: Any, output: tuple[Tensor, Tensor]) -> None:
    ctx.weight, ctx.kind = a.weight, a.kind
    ctx.save_for_backward(a.gradient)
    ctx.set_materialize_grads(False)


def _penalty_gradient(
    ctx: Any, grad_penalty: Tensor | None, grad_norms: Tensor | None
) -> dict[str, Tensor | None]:
    (gradient,) = ctx.saved_tensors
    if grad_penalty is None:
        if grad_norms is None:
            return {}
        grad_penalty = gradient.new_zeros(())
    direction = _gradient_norm_penalty_backward(
        grad_penalty, grad_norms, gradient, ctx.weight, ctx.kind
    )
    return {"gradient": direction}


@operator(_check_penalty, _empty_penalty, backward=_penalty_gradient, context=_penalty_context)
def gradient_norm_penalty(
    gradient: Tensor, weight: float, kind: str = "wgan-gp"
) -> tuple[Tensor, Tensor]:
    r"""Penalty on the norms of a critic's gradients, and the norms, in one pass.

    With :math:`n_i` the Euclidean norm of row :math:`i` of the gradients :math:`g`, over all its
    elements, and :math:`m` rows, the penalty is :math:`\frac{w}{m} \sum_i \psi(n_i)`:

    =========  ======================  =======================  ==================================
    kind       psi(n)                  gradient at row i        source
    =========  ======================  =======================  ==================================
    wgan-gp    :math:`(n - 1)^2`       2w/m (1 - 1/n) g         Gulrajani et al. 2017, equation 3
    wgan-lp    :math:`max(0, n-1)^2`   the same where n > 1     Petzka et al. 2018, equation 8
    r1, r2     :math:`n^2 / 2`         w/m g                    Mescheder et al. 2018, equation 9
    =========  ======================  =======================  ==================================

    r1 and r2 differ in where the critic is differentiated, at real or at fake rows. A gradient of
    zero has no direction; there the subgradient 0 is taken.

    Args:
        gradient: float32 or float64 [rows, ...], one row or more, at any strides: the gradient of
            the sum of the critic's scores with respect to its rows, with a graph
            (``create_graph=True``) if the penalty is to train the critic.
        weight: The factor w, finite and not negative.
        kind: One of the above.

    Returns:
        The penalty, a scalar, and the norms [rows], both of the dtype of ``gradient`` and
        differentiable twice. However large or small the elements, a norm is as exact as its
        dtype allows, and infinite only if it is beyond it. (In float64 the direction fades to 0
        where the norm is below 1e-289.)

    Raises:
        RuntimeError: names the argument whose shape, dtype or value is wrong.

    Example:
        >>> penalty, norms = gradient_norm_penalty(torch.tensor([[3.0, 4.0]]), 10.0)
        >>> float(penalty), norms.tolist()
        (160.0, [5.0])
    """
    norms = _norms(gradient)
    if kind == "wgan-gp":
        terms = (norms - 1).square()
    elif kind == "wgan-lp":
        terms = (norms - 1).clamp_min(0).square()
    else:
        terms = norms.square() / 2
    penalty = weight / len(gradient) * terms.sum()
    return penalty.to(gradient.dtype), norms.to(gradient.dtype)
