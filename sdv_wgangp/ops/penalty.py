r"""The gradient penalty of any critic: interpolates, and norm and penalty of its gradients.

Operators, with their references in plain PyTorch (``*_reference``, the fallback and the tests'
oracle), shapes, derivatives and public functions. Between the two lies the critic, of which
nothing is known but that it can be differentiated twice:

.. code-block:: python

    rows = interpolate(real, fake, share).requires_grad_()
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


def _check_interpolate(real: Tensor, fake: Tensor, share: Tensor) -> None:
    op = "interpolate"
    _check_rows(op, "real", real)
    check_like(op, "real", real, "fake", fake, real.shape)
    check_like(op, "real", real, "share", share, [real.shape[0], 1])


def _check_penalty(op: str, gradient: Tensor, weight: float, kind: str) -> None:
    _check_rows(op, "gradient", gradient)
    check(gradient.shape[0] > 0, f"{op}: gradient has no rows, got shape {list(gradient.shape)}")
    check(
        weight >= 0 and math.isfinite(weight),
        f"{op}: weight must be finite and not negative, got {weight:g}",
    )
    check(kind in KINDS, f"{op}: kind must be wgan-gp, wgan-lp, r1 or r2, got {kind}")


def _check_penalty_backward(
    grad_penalty: Tensor, grad_norms: Tensor | None, gradient: Tensor, weight: float, kind: str
) -> None:
    op = "gradient_norm_penalty_backward"
    _check_penalty(op, gradient, weight, kind)
    check_like(op, "gradient", gradient, "grad_penalty", grad_penalty, [])
    if grad_norms is not None:
        check_like(op, "gradient", gradient, "grad_norms", grad_norms, [gradient.shape[0]])


# --- interpolate ---------------------------------------------------------------------------------


def _per_row(values: Tensor, rows: Tensor) -> Tensor:
    """``values`` [rows] or [rows, 1], shaped so that it multiplies ``rows`` row by row."""
    return values.reshape(-1, *[1] * (rows.dim() - 1))


def interpolate_reference(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """See :func:`interpolate`."""
    _check_interpolate(real, fake, share)
    return torch.empty_like(real).copy_(torch.lerp(real, fake, _per_row(share, real)))


def _interpolate_fake(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    _check_interpolate(real, fake, share)
    return torch.empty_like(real)


def _interpolate_context(ctx, inputs, output) -> None:
    # The rows themselves are kept only where the share is to have a gradient, which it seldom is.
    real, fake, share = inputs
    ctx.save_for_backward(share, *((real, fake) if ctx.needs_input_grad[2] else ()))


def _interpolate_gradient(ctx, grad: Tensor):
    share, *ends = ctx.saved_tensors
    to_real, to_fake, to_share = ctx.needs_input_grad
    inner = (grad * (ends[1] - ends[0])).flatten(1).sum(1, keepdim=True) if to_share else None
    share = _per_row(share, grad)
    return grad * (1 - share) if to_real else None, grad * share if to_fake else None, inner


_interpolate = operator(
    "interpolate(Tensor real, Tensor fake, Tensor share) -> Tensor",
    interpolate_reference,
    _interpolate_fake,
    _interpolate_gradient,
    _interpolate_context,
)


def interpolate(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    r"""Points between real and fake rows, :math:`x + a (y - x)` with one share :math:`a` a row.

    The points at which Gulrajani et al. 2017, algorithm 1, penalise the critic's gradient; a share
    of 0 gives the real row and one of 1 the fake one, to the bit.

    Args:
        real: float32 or float64 [rows, ...], at any strides.
        fake: like ``real``.
        share: [rows, 1], whatever the shape of the rows; of the same dtype.

    Returns:
        [rows, ...], in memory as ``real``, differentiable (twice) in all three.

    Raises:
        RuntimeError: names the argument whose shape, dtype or device is wrong.
    """
    return _interpolate(real, fake, share)


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


def gradient_norm_penalty_backward_reference(
    grad_penalty: Tensor, grad_norms: Tensor | None, gradient: Tensor, weight: float, kind: str
) -> Tensor:
    """Gradient of ``gradient`` from those of the penalty and the norms (see formulas.h)."""
    _check_penalty_backward(grad_penalty, grad_norms, gradient, weight, kind)
    norms = _norms(gradient)
    factor = grad_penalty.double() * (weight / len(gradient)) * _pull(norms, kind)[0]
    if grad_norms is not None:
        factor = factor + grad_norms.double() * _inverse(norms)
    return torch.empty_like(gradient).copy_(_per_row(factor, gradient) * gradient.double())


def _backward_fake(
    grad_penalty: Tensor, grad_norms: Tensor | None, gradient: Tensor, weight: float, kind: str
) -> Tensor:
    _check_penalty_backward(grad_penalty, grad_norms, gradient, weight, kind)
    return torch.empty_like(gradient)


def _backward_context(ctx, inputs, output) -> None:
    grad_penalty, grad_norms, gradient, ctx.weight, ctx.kind = inputs
    ctx.save_for_backward(grad_penalty, grad_norms, gradient)


def _backward_backward(ctx, h: Tensor):
    """Derivative of <h, r> for the rows r = f g, with f = p k pull(n) + q / n, k = weight / rows.

    p and q are the gradients of penalty and norms. With the unit vector u = g / n, t = <h, u>:
    in p, k sum of pull n t; in q, t; in g, f h + (p k n pull' - q / n) t u, as df = f' <u, dg>.
    In float64: the powers of small norms would overflow in float32.
    """
    grad_penalty, grad_norms, gradient = ctx.saved_tensors
    share = ctx.weight / len(gradient)
    norms = _norms(gradient)
    pull, bend = _pull(norms, ctx.kind)
    inverse = _inverse(norms)
    rows = gradient.flatten(1).double()
    unit = rows * inverse[:, None]
    across = h.flatten(1).double()
    along = (across * unit).sum(1)
    to_penalty = share * (pull * norms * along).sum()
    given = grad_penalty.double() * share
    factor, turn = given * pull, given * bend
    to_norms = None
    if grad_norms is not None:
        to_norms = along.to(gradient.dtype)
        factor = factor + grad_norms.double() * inverse
        turn = turn - grad_norms.double() * inverse
    to_gradient = factor[:, None] * across + (turn * along)[:, None] * unit
    return (
        to_penalty.to(gradient.dtype),
        to_norms,
        to_gradient.to(gradient.dtype).view(gradient.shape),
        None,
        None,
    )


_gradient_norm_penalty_backward = operator(
    "gradient_norm_penalty_backward(Tensor grad_penalty, Tensor? grad_norms, Tensor gradient,"
    " float weight, str kind) -> Tensor",
    gradient_norm_penalty_backward_reference,
    _backward_fake,
    _backward_backward,
    _backward_context,
)


# --- gradient_norm_penalty -----------------------------------------------------------------------


def gradient_norm_penalty_reference(
    gradient: Tensor, weight: float, kind: str
) -> tuple[Tensor, Tensor]:
    """See :func:`gradient_norm_penalty`."""
    _check_penalty("gradient_norm_penalty", gradient, weight, kind)
    norms = _norms(gradient)
    if kind == "wgan-gp":
        terms = (norms - 1).square()
    elif kind == "wgan-lp":
        terms = (norms - 1).clamp_min(0).square()
    else:
        terms = norms.square() / 2
    penalty = weight / len(gradient) * terms.sum()
    return penalty.to(gradient.dtype), norms.to(gradient.dtype)


def _penalty_fake(gradient: Tensor, weight: float, kind: str) -> tuple[Tensor, Tensor]:
    _check_penalty("gradient_norm_penalty", gradient, weight, kind)
    return gradient.new_empty(()), gradient.new_empty(gradient.shape[0])


def _penalty_context(ctx, inputs, output) -> None:
    gradient, ctx.weight, ctx.kind = inputs
    ctx.save_for_backward(gradient)
    ctx.set_materialize_grads(False)


def _penalty_gradient(ctx, grad_penalty: Tensor | None, grad_norms: Tensor | None):
    (gradient,) = ctx.saved_tensors
    if grad_penalty is None:
        if grad_norms is None:
            return None, None, None
        grad_penalty = gradient.new_zeros(())
    direction = _gradient_norm_penalty_backward(
        grad_penalty, grad_norms, gradient, ctx.weight, ctx.kind
    )
    return direction, None, None


_gradient_norm_penalty = operator(
    "gradient_norm_penalty(Tensor gradient, float weight, str kind)"
    " -> (Tensor penalty, Tensor norms)",
    gradient_norm_penalty_reference,
    _penalty_fake,
    _penalty_gradient,
    _penalty_context,
)


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
    """
    return _gradient_norm_penalty(gradient, weight, kind)
