r"""Batched statistics of the columns of matrices: moments, order statistics, eigenvalues.

Operators in plain PyTorch (the fallback and the tests' oracle), with shapes, derivatives and the
functions on top of them:

======================= ==========================================================================
:func:`moments`         mean and covariance; :func:`correlation` on top of it
:func:`sorted_columns`  order statistics; :func:`quantiles` and :func:`wasserstein_1d` on top of it
:func:`symmetric_eigen` eigenvalues and vectors; :func:`symmetric_eigenvalues`, differentiable
======================= ==========================================================================

A matrix is ``[rows, columns]`` and a batch of matrices ``[batch, rows, columns]``; results have
the batch in front where the argument has it. All sums are in float32 or better, whatever
``torch.set_float32_matmul_precision`` and autocast are set to: networks may train in bfloat16
products, statistics may not.

``docs/derivations.md`` derives the derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_floating, check_like
from sdv_wgangp.ops.registry import operator

__all__ = [
    "correlation",
    "moments",
    "quantiles",
    "sorted_columns",
    "symmetric_eigen",
    "symmetric_eigenvalues",
    "wasserstein_1d",
]


# --- checks --------------------------------------------------------------------------------------


def _check_batch(op: str, name: str, tensor: Tensor) -> None:
    check(
        tensor.dim() in (2, 3),
        f"{op}: {name} must have two or three dimensions ([batch,] rows, columns), "
        f"got shape {list(tensor.shape)}",
    )
    check_floating(op, name, tensor)


def _check_moments(op: str, a: Any) -> None:
    x, correction = a.x, a.correction
    _check_batch(op, "x", x)
    check(correction >= 0, f"{op}: correction must not be negative, got {correction}")
    check(
        x.shape[-2] > correction,
        f"{op}: x must have more than {correction} rows (correction), got shape {list(x.shape)}",
    )


# --- moments_backward ----------------------------------------------------------------------------


def _column_means(x: Tensor) -> Tensor:
    """Means in float64, ``[..., 1, columns]``, and exact for a constant column."""
    x = x.double()
    mean = x.mean(-2, keepdim=True)
    rest = (x - mean).mean(-2, keepdim=True)
    return mean + torch.where(rest.isnan(), 0, rest)


def _centred(x: Tensor) -> Tensor:
    """Deviations from the column's mean, in float64."""
    return x.double() - _column_means(x)


def _check_moments_backward(op: str, a: Any) -> None:
    _check_moments(op, a)
    *batch, _, columns = a.x.shape
    check_like(op, "x", a.x, "grad_mean", a.grad_mean, [*batch, columns])
    check_like(op, "x", a.x, "grad_covariance", a.grad_covariance, [*batch, columns, columns])


def _moments_backward_context(ctx: Any, a: Any, output: Tensor) -> None:
    ctx.correction = a.correction
    ctx.save_for_backward(a.grad_covariance, a.x)


def _moments_backward_backward(ctx: Any, h: Tensor) -> dict[str, Tensor | None]:
    """Derivative of <h, r> for r = Xc S + 1 g_mean' / n, S = (G + G') / (n - correction).

    In g_mean: the mean of h over the rows. In G: M + M' with M = Xc' h / (n - correction). In X,
    on which r depends through the centring, a symmetric projection: the centred h times S.
    """
    grad_covariance, x = ctx.saved_tensors
    product = _centred(x).mT @ h.double() / (x.shape[-2] - ctx.correction)
    to_covariance = (product + product.mT).to(x.dtype)
    nothing = h.new_zeros((*h.shape[:-2], h.shape[-1]))
    to_x = _moments_backward(nothing, grad_covariance, h, ctx.correction)
    return {
        "grad_mean": h.double().mean(-2).to(h.dtype),
        "grad_covariance": to_covariance,
        "x": to_x,
    }


@operator(
    _check_moments_backward,
    lambda a: torch.empty_like(a.x, memory_format=torch.contiguous_format),
    backward=_moments_backward_backward,
    context=_moments_backward_context,
)
def _moments_backward(
    grad_mean: Tensor, grad_covariance: Tensor, x: Tensor, correction: int
) -> Tensor:
    """Gradient of ``x`` from those of its moments: ``Xc (G + G') / (n - correction) + g / n``."""
    rows = x.shape[-2]
    both = (grad_covariance.double() + grad_covariance.double().mT) / (rows - correction)
    return (_centred(x) @ both + grad_mean.double().unsqueeze(-2) / rows).to(x.dtype)


# --- moments -------------------------------------------------------------------------------------


def _empty_moments(a: Any) -> tuple[Tensor, Tensor]:
    *batch, _, columns = a.x.shape
    return a.x.new_empty((*batch, columns)), a.x.new_empty((*batch, columns, columns))


def _moments_context(ctx: Any, a: Any, output: tuple[Tensor, Tensor]) -> None:
    ctx.correction = a.correction
    ctx.save_for_backward(a.x)
    ctx.set_materialize_grads(False)


def _moments_gradient(
    ctx: Any, grad_mean: Tensor | None, grad_covariance: Tensor | None
) -> dict[str, Tensor | None]:
    (x,) = ctx.saved_tensors
    if grad_covariance is None:
        if grad_mean is None:
            return {}
        return {"x": (grad_mean / x.shape[-2]).unsqueeze(-2).expand(x.shape)}
    if grad_mean is None:
        grad_mean = x.new_zeros((*x.shape[:-2], x.shape[-1]))
    return {"x": _moments_backward(grad_mean, grad_covariance, x, ctx.correction)}


@operator(_check_moments, _empty_moments, backward=_moments_gradient, context=_moments_context)
def moments(x: Tensor, correction: int = 1) -> tuple[Tensor, Tensor]:
    r"""Mean and covariance of the columns.

    .. math:: m = \frac1n \sum_i x_i, \qquad
        C = \frac{1}{n - \text{correction}} \sum_i (x_i - m)(x_i - m)^\top

    in two passes, never as the difference of raw second moments. The means are kept in float64;
    the covariance is the sum, in float64, of products of at most 128 rows in the argument's type.
    The backward is one product (``docs/derivations.md``).

    Args:
        x: float32 or float64, [rows, columns] or [batch, rows, columns], at any strides.
        correction: what is taken off the divisor, as in `torch.var`: 1 for the unbiased estimate.

    Returns:
        ``mean`` [..., columns] and the symmetric ``covariance`` [..., columns, columns], of the
        dtype of ``x``, differentiable twice. The covariance of a constant column is exactly 0,
        and so is that of deviations whose squares underflow (in float32 below about 1e-23);
        squares that overflow (above about 1e19) give infinity. A column that holds NaN or an
        infinity makes NaN of its row and column of the covariance, and of nothing else.

    Raises:
        RuntimeError: if ``x`` has another shape or dtype, or not more rows than ``correction``.

    Example:
        >>> mean, covariance = moments(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> mean.tolist(), covariance.tolist()
        ([1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    deviations = x.double() - _column_means(x)
    covariance = deviations.mT @ deviations / (x.shape[-2] - correction)
    return _column_means(x).squeeze(-2).to(x.dtype), covariance.to(x.dtype)


def correlation(x: Tensor, minimum_variance: float = 0.0) -> Tensor:
    r"""Pearson correlations of all pairs of columns, :math:`C_{ij} / \sqrt{C_{ii} C_{jj}}`.

    The correlation with a constant column is undefined. It is 0 here, with gradient 0: mini-
    batches hold constant columns all the time (the one-hot column of a rare level), and they
    should say nothing. The diagonal is 1 for every column.

    Args:
        x: As for :func:`moments`, two rows or more.
        minimum_variance: A column counts as constant if its unbiased variance is not larger.

    Returns:
        [..., columns, columns], symmetric, of the dtype of ``x``, differentiable twice.

    Raises:
        RuntimeError: As :func:`moments`.

    Example:
        >>> correlation(torch.tensor([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    covariance = moments(x, 1)[1]
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    # Neither the value nor the gradient of a constant column's root is ever formed.
    scale = torch.where(variance > minimum_variance, variance, math.inf).rsqrt()
    scaled = covariance * scale.unsqueeze(-2) * scale.unsqueeze(-1)
    diagonal = torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)
    return scaled.masked_fill(diagonal, 1.0)


# --- sorted_columns ------------------------------------------------------------------------------


def _check_unsort(op: str, a: Any) -> None:
    grad, index = a.grad, a.index
    _check_batch(op, "grad", grad)
    check(
        index.shape == grad.shape,
        f"{op}: index must have shape {list(grad.shape)}, got {list(index.shape)}",
    )
    check(index.dtype == torch.int64, f"{op}: index must be int64")
    check(index.device == grad.device, f"{op}: index must be on the device of grad")


def _unsort_context(ctx: Any, a: Any, output: Tensor) -> None:
    ctx.save_for_backward(a.index)


def _unsort_backward(ctx: Any, h: Tensor) -> dict[str, Tensor | None]:
    (index,) = ctx.saved_tensors
    return {"grad": h.gather(-2, index)}


@operator(
    _check_unsort,
    lambda a: torch.empty_like(a.grad, memory_format=torch.contiguous_format),
    backward=_unsort_backward,
    context=_unsort_context,
)
def _sorted_columns_backward(grad: Tensor, index: Tensor) -> Tensor:
    """Puts the gradient of every sorted value where the value came from."""
    if index.numel() and index.device.type == "cpu":
        inside = bool((index >= 0).all() and (index < grad.shape[-2]).all())
        check(
            inside, f"sorted_columns_backward: index must name rows from 0 to {grad.shape[-2] - 1}"
        )
    return torch.zeros_like(grad, memory_format=torch.contiguous_format).scatter(-2, index, grad)


def _check_sort(op: str, a: Any) -> None:
    _check_batch(op, "x", a.x)


def _empty_sorted(a: Any) -> tuple[Tensor, Tensor]:
    values = a.x.new_empty(a.x.mT.shape)
    return values.mT, values.new_empty(values.shape, dtype=torch.int64).mT


def _sort_context(ctx: Any, a: Any, output: tuple[Tensor, Tensor]) -> None:
    _, index = output
    ctx.mark_non_differentiable(index)
    ctx.save_for_backward(index)


def _sort_gradient(ctx: Any, grad: Tensor, _grad_index: Any) -> dict[str, Tensor | None]:
    (index,) = ctx.saved_tensors
    return {"x": _sorted_columns_backward(grad, index)}


@operator(_check_sort, _empty_sorted, backward=_sort_gradient, context=_sort_context)
def sorted_columns(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sorts every column in ascending order.

    The order is that of ``torch.sort(x, dim=-2, stable=True)``: equal values keep the order of
    their rows, 0.0 and -0.0 are equal, NaN comes last.

    Args:
        x: float32 or float64, [rows, columns] or [batch, rows, columns], at any strides.

    Returns:
        ``values`` and ``index`` (int64) of the shape of ``x``, with ``values[i, c] =
        x[index[i, c], c]``. ``values`` is differentiable twice: the gradient of a sorted value
        goes where it came from. Both are stored column by column: ``values.mT`` is contiguous.

    Raises:
        RuntimeError: if ``x`` has another number of dimensions or dtype.

    Example:
        >>> values, index = sorted_columns(torch.tensor([[3.0], [1.0], [2.0]]))
        >>> values.flatten().tolist(), index.flatten().tolist()
        ([1.0, 2.0, 3.0], [1, 2, 0])
    """
    values, index = x.mT.contiguous().sort(stable=True)
    return values.mT, index.mT


def quantiles(x: Tensor, levels: Sequence[float]) -> Tensor:
    r"""Quantiles of every column, by linear interpolation between two order statistics.

    With :math:`h = q (n - 1)`, :math:`x_{(\lfloor h \rfloor)} + (h - \lfloor h \rfloor)
    (x_{(\lceil h \rceil)} - x_{(\lfloor h \rfloor)})`: the definition of `torch.quantile`, and
    number 7 of Hyndman and Fan (1996).

    Args:
        x: As for :func:`sorted_columns`, one row or more.
        levels: Numbers q from 0 to 1, in any order.

    Returns:
        [..., levels, columns] of the dtype of ``x``; the gradient goes to the two rows. All
        quantiles of a column that holds NaN are NaN.

    Raises:
        RuntimeError: if a level is outside [0, 1], or as :func:`sorted_columns`.

    Example:
        >>> quantiles(torch.tensor([[0.0], [1.0], [4.0]]), [0.5, 0.75]).tolist()
        [[1.0], [2.5]]
    """
    op = "quantiles"
    _check_batch(op, "x", x)
    rows = x.shape[-2]
    check(rows > 0, f"{op}: x must have a row, got shape {list(x.shape)}")
    for level in levels:
        check(0 <= level <= 1, f"{op}: levels must be from 0 to 1, got {level:g}")
    values = sorted_columns(x)[0]
    # Piece by piece: an index would be a tensor from the host, which no CUDA graph can hold.
    pieces = [values.narrow(-2, 0, 0)]
    for level in levels:
        place = level * (rows - 1)
        # Rounding may put a level of nearly 1 on the last row.
        lower = min(math.floor(place), rows - 1)
        below = values.narrow(-2, lower, 1)
        above = values.narrow(-2, min(lower + 1, rows - 1), 1)
        between = torch.lerp(below, above, place - lower)
        # The difference of two equal infinities, and infinity times a weight of 0, are NaN.
        pieces.append(below if place == lower else torch.where(below == above, below, between))
    quantile = torch.cat(pieces, -2)
    return quantile.masked_fill(values.narrow(-2, rows - 1, 1).isnan(), math.nan)


def wasserstein_1d(x: Tensor, y: Tensor, p: int = 1) -> Tensor:
    r"""Wasserstein distance between two samples of every column, to the power p.

    .. math:: W_p^p = \int_0^1 |F_x^{-1}(u) - F_y^{-1}(u)|^p \, du

    with the empirical quantile functions (Peyre and Cuturi 2019, 2.30). For equal sizes it is the
    mean of :math:`|x_{(i)} - y_{(i)}|^p`; for unequal ones the integral runs over the pieces
    between all i / n and j / m. It is left to the power p because the root has no derivative
    where the samples agree.

    Args:
        x: [rows, columns] or [batch, rows, columns], float32 or float64.
        y: Like ``x``, with any number of rows.
        p: 1 or 2.

    Returns:
        [columns] or [batch, columns], differentiable in both samples: for equal sizes
        :math:`\partial W_1 / \partial x_{(i)} = \text{sign}(x_{(i)} - y_{(i)}) / n`, 0 where they
        are equal, and :math:`\partial W_2^2 / \partial x_{(i)} = 2 (x_{(i)} - y_{(i)}) / n`. NaN
        where a column of either sample holds NaN.

    Raises:
        RuntimeError: if p is neither 1 nor 2, a sample is empty, or the shapes or dtypes of ``x``
            and ``y`` do not go together.

    Example:
        >>> wasserstein_1d(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [1.0]])).tolist()
        [1.5]
    """
    op = "wasserstein_1d"
    check(p in (1, 2), f"{op}: p must be 1 or 2, got {p}")
    for name, sample in (("x", x), ("y", y)):
        _check_batch(op, name, sample)
        check(
            sample.shape[-2] > 0, f"{op}: {name} must have a row, got shape {list(sample.shape)}"
        )
    expected = [*x.shape[:-2], y.shape[-2], x.shape[-1]]
    check_like(op, "x", x, "y", y, expected)

    sorted_x, sorted_y = sorted_columns(x)[0], sorted_columns(y)[0]
    n, m = x.shape[-2], y.shape[-2]
    if n == m:
        return _power(sorted_x - sorted_y, p).mean(-2)
    # Ends of the pieces, in units of 1 / (n m). Ends that coincide give pieces of length 0.
    ends_x = m * torch.arange(1, n + 1, device=x.device)
    ends_y = n * torch.arange(1, m + 1, device=x.device)
    ends = torch.cat((ends_x, ends_y)).sort()[0]
    length = torch.cat((ends[:1], ends.diff())).double() / (n * m)
    piece_x = sorted_x.index_select(-2, (ends - 1) // m)
    piece_y = sorted_y.index_select(-2, (ends - 1) // n)
    return (_power(piece_x - piece_y, p) * length.to(x.dtype).unsqueeze(-1)).sum(-2)


def _power(difference: Tensor, p: int) -> Tensor:
    return difference.abs() if p == 1 else difference.square()


# --- symmetric_eigen_backward --------------------------------------------------------------------


def _check_square(op: str, a: Tensor) -> None:
    _check_batch(op, "a", a)
    check(
        a.shape[-2] == a.shape[-1],
        f"{op}: a must hold square matrices, got shape {list(a.shape)}",
    )


def _check_eigen_backward(op: str, a: Any) -> None:
    _check_square(op, a.a)
    check_like(op, "a", a.a, "grad", a.grad, a.a.shape[:-1])
    check_like(op, "a", a.a, "vectors", a.vectors, a.a.shape)


def _eigen_backward_context(ctx: Any, a: Any, output: Tensor) -> None:
    ctx.save_for_backward(a.vectors)


def _eigen_backward_backward(ctx: Any, h: Tensor) -> dict[str, Tensor | None]:
    if ctx.needs_input_grad[2]:
        raise RuntimeError(
            "symmetric_eigen: second derivatives in a are not provided, they contain "
            "1 / (l_i - l_j) and do not exist where eigenvalues coincide"
        )
    (vectors,) = ctx.saved_tensors
    q = vectors.double()
    return {"grad": ((h.double() @ q) * q).sum(-2).to(h.dtype)}


@operator(
    _check_eigen_backward,
    lambda a: torch.empty_like(a.a, memory_format=torch.contiguous_format),
    backward=_eigen_backward_backward,
    context=_eigen_backward_context,
)
def _symmetric_eigen_backward(grad: Tensor, vectors: Tensor, a: Tensor) -> Tensor:
    """Gradient of ``a`` from that of its eigenvalues: ``Q diag(g) Q'``."""
    q = vectors.double()
    return ((q * grad.double().unsqueeze(-2)) @ q.mT).to(a.dtype)


# --- symmetric_eigen -----------------------------------------------------------------------------


def _check_eigen(op: str, a: Any) -> None:
    _check_square(op, a.a)


def _empty_eigen(a: Any) -> tuple[Tensor, Tensor]:
    matrix = a.a
    shape = matrix.shape if a.vectors else (*matrix.shape[:-2], 0, 0)
    return matrix.new_empty(matrix.shape[:-1]), matrix.new_empty(shape).mT


def _eigen_context(ctx: Any, a: Any, output: tuple[Tensor, Tensor]) -> None:
    ctx.vectors = a.vectors
    _, vectors = output
    ctx.mark_non_differentiable(vectors)
    ctx.save_for_backward(a.a, vectors)


def _eigen_gradient(ctx: Any, grad: Tensor, _grad_vectors: Any) -> dict[str, Tensor | None]:
    a, vectors = ctx.saved_tensors
    if not ctx.vectors:
        _, vectors = _symmetric_eigen(a.detach(), True)
    return {"a": _symmetric_eigen_backward(grad, vectors, a)}


@operator(_check_eigen, _empty_eigen, backward=_eigen_gradient, context=_eigen_context)
def _symmetric_eigen(a: Tensor, vectors: bool) -> tuple[Tensor, Tensor]:
    """See :func:`symmetric_eigen`; vectors of size 0 where they are not wanted."""
    finite = a.tril().isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    # Solvers fail, or wait for ever, where there are numbers that are not finite.
    solved = torch.where(finite, a, 0)
    if vectors:
        values, q = torch.linalg.eigh(solved)
        q = torch.where(finite, q, math.nan).mT.contiguous().mT
    else:
        values, q = torch.linalg.eigvalsh(solved), a.new_empty((*a.shape[:-2], 0, 0))
    return torch.where(finite.squeeze(-1), values, math.nan), q


def symmetric_eigen(a: Tensor) -> tuple[Tensor, Tensor]:
    r"""Eigenvalues and eigenvectors of symmetric matrices, :math:`A = Q\,\text{diag}(l)\,Q^\top`.

    On the CPU Jacobi's method for many matrices of sizes up to 6, side by side in vector
    registers, and LAPACK otherwise; on CUDA Jacobi's method with one thread block a matrix for
    sizes up to 64, and torch's solver beyond.

    Args:
        a: float32 or float64, [size, size] or [batch, size, size]. Only the lower triangle is
            read.

    Returns:
        ``values`` [..., size] in ascending order, and ``vectors`` [..., size, size], one a column,
        whose sign (and basis, where eigenvalues coincide) is arbitrary. The values are
        differentiable, once: :math:`\partial L / \partial A = Q \,\text{diag}(g)\, Q^\top`, which
        has no 1 / (l_i - l_j) and holds where eigenvalues coincide, if L treats those alike. The
        vectors are not differentiable. A matrix with an element that is not finite has NaN
        everywhere, the others of its batch are as they would be without it.

    Raises:
        RuntimeError: if ``a`` has another shape or dtype.

    Example:
        >>> values, vectors = symmetric_eigen(torch.diag(torch.tensor([2.0, 1.0])))
        >>> values.tolist(), vectors.abs().tolist()
        ([1.0, 2.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    return _symmetric_eigen(a, True)


def symmetric_eigenvalues(a: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices in ascending order, as :func:`symmetric_eigen`.

    Without the vectors, which takes half the time, where no gradient is asked for.

    Args:
        a: float32 or float64, [size, size] or [batch, size, size]. Only the lower triangle is
            read.

    Returns:
        [..., size], differentiable, once.

    Raises:
        RuntimeError: as :func:`symmetric_eigen`.

    Example:
        >>> symmetric_eigenvalues(torch.diag(torch.tensor([2.0, 1.0]))).tolist()
        [1.0, 2.0]
    """
    return _symmetric_eigen(a, a.requires_grad and torch.is_grad_enabled())[0]
