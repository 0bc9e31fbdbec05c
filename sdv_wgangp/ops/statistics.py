r"""Batched statistics of the columns of matrices: moments, order statistics, eigenvalues.

Operators, with their references in plain PyTorch (``*_reference``, the fallback and the tests'
oracle), shapes, derivatives and public functions:

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


def _check_rows(op: str, x: Tensor, correction: int) -> None:
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


def moments_backward_reference(
    grad_mean: Tensor, grad_covariance: Tensor, x: Tensor, correction: int
) -> Tensor:
    """Gradient of ``x`` from those of its moments: ``Xc (G + G') / (n - correction) + g / n``."""
    op = "moments_backward"
    _check_moments_backward(op, grad_mean, grad_covariance, x, correction)
    rows = x.shape[-2]
    both = (grad_covariance.double() + grad_covariance.double().mT) / (rows - correction)
    return (_centred(x) @ both + grad_mean.double().unsqueeze(-2) / rows).to(x.dtype)


def _check_moments_backward(op, grad_mean, grad_covariance, x, correction) -> None:
    _check_rows(op, x, correction)
    *batch, _, columns = x.shape
    check_like(op, "x", x, "grad_mean", grad_mean, [*batch, columns])
    check_like(op, "x", x, "grad_covariance", grad_covariance, [*batch, columns, columns])


def _moments_backward_fake(
    grad_mean: Tensor, grad_covariance: Tensor, x: Tensor, correction: int
) -> Tensor:
    _check_moments_backward("moments_backward", grad_mean, grad_covariance, x, correction)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _moments_backward_context(ctx, inputs, output) -> None:
    _, grad_covariance, x, ctx.correction = inputs
    ctx.save_for_backward(grad_covariance, x)


def _moments_backward_backward(ctx, h: Tensor):
    """Derivative of <h, r> for r = Xc S + 1 g_mean' / n, S = (G + G') / (n - correction).

    In g_mean: the mean of h over the rows. In G: M + M' with M = Xc' h / (n - correction). In X,
    on which r depends through the centring, a symmetric projection: the centred h times S.
    """
    grad_covariance, x = ctx.saved_tensors
    product = _centred(x).mT @ h.double() / (x.shape[-2] - ctx.correction)
    to_covariance = (product + product.mT).to(x.dtype)
    nothing = h.new_zeros((*h.shape[:-2], h.shape[-1]))
    to_x = _moments_backward(nothing, grad_covariance, h, ctx.correction)
    return h.double().mean(-2).to(h.dtype), to_covariance, to_x, None


_moments_backward = operator(
    "moments_backward(Tensor grad_mean, Tensor grad_covariance, Tensor x, int correction)"
    " -> Tensor",
    moments_backward_reference,
    _moments_backward_fake,
    _moments_backward_backward,
    _moments_backward_context,
)


# --- moments -------------------------------------------------------------------------------------


def moments_reference(x: Tensor, correction: int) -> tuple[Tensor, Tensor]:
    """See :func:`moments`."""
    _check_rows("moments", x, correction)
    deviations = x.double() - _column_means(x)
    covariance = deviations.mT @ deviations / (x.shape[-2] - correction)
    return _column_means(x).squeeze(-2).to(x.dtype), covariance.to(x.dtype)


def _moments_fake(x: Tensor, correction: int) -> tuple[Tensor, Tensor]:
    _check_rows("moments", x, correction)
    *batch, _, columns = x.shape
    return x.new_empty((*batch, columns)), x.new_empty((*batch, columns, columns))


def _moments_context(ctx, inputs, output) -> None:
    x, ctx.correction = inputs
    ctx.save_for_backward(x)
    ctx.set_materialize_grads(False)


def _moments_gradient(ctx, grad_mean: Tensor | None, grad_covariance: Tensor | None):
    (x,) = ctx.saved_tensors
    if grad_covariance is None:
        if grad_mean is None:
            return None, None
        return (grad_mean / x.shape[-2]).unsqueeze(-2).expand(x.shape), None
    if grad_mean is None:
        grad_mean = x.new_zeros((*x.shape[:-2], x.shape[-1]))
    return _moments_backward(grad_mean, grad_covariance, x, ctx.correction), None


_moments = operator(
    "moments(Tensor x, int correction) -> (Tensor mean, Tensor covariance)",
    moments_reference,
    _moments_fake,
    _moments_gradient,
    _moments_context,
)


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
    """
    return _moments(x, correction)


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
    """
    covariance = _moments(x, 1)[1]
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    # Neither the value nor the gradient of a constant column's root is ever formed.
    scale = torch.where(variance > minimum_variance, variance, math.inf).rsqrt()
    scaled = covariance * scale.unsqueeze(-2) * scale.unsqueeze(-1)
    diagonal = torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)
    return scaled.masked_fill(diagonal, 1.0)


# --- sorted_columns ------------------------------------------------------------------------------


def _check_unsort(grad: Tensor, index: Tensor) -> None:
    op = "sorted_columns_backward"
    _check_batch(op, "grad", grad)
    check(
        index.shape == grad.shape,
        f"{op}: index must have shape {list(grad.shape)}, got {list(index.shape)}",
    )
    check(index.dtype == torch.int64, f"{op}: index must be int64")
    check(index.device == grad.device, f"{op}: index must be on the device of grad")


def sorted_columns_backward_reference(grad: Tensor, index: Tensor) -> Tensor:
    """Puts the gradient of every sorted value where the value came from."""
    _check_unsort(grad, index)
    if index.numel() and index.device.type == "cpu":
        inside = bool((index >= 0).all() and (index < grad.shape[-2]).all())
        check(
            inside, f"sorted_columns_backward: index must name rows from 0 to {grad.shape[-2] - 1}"
        )
    return torch.zeros_like(grad, memory_format=torch.contiguous_format).scatter(-2, index, grad)


def _sorted_columns_backward_fake(grad: Tensor, index: Tensor) -> Tensor:
    _check_unsort(grad, index)
    return torch.empty_like(grad, memory_format=torch.contiguous_format)


def _sorted_columns_backward_context(ctx, inputs, output) -> None:
    _, index = inputs
    ctx.save_for_backward(index)


def _sorted_columns_backward_backward(ctx, h: Tensor):
    (index,) = ctx.saved_tensors
    return h.gather(-2, index), None


_sorted_columns_backward = operator(
    "sorted_columns_backward(Tensor grad, Tensor index) -> Tensor",
    sorted_columns_backward_reference,
    _sorted_columns_backward_fake,
    _sorted_columns_backward_backward,
    _sorted_columns_backward_context,
)


def sorted_columns_reference(x: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`sorted_columns`."""
    _check_batch("sorted_columns", "x", x)
    values, index = x.mT.contiguous().sort(stable=True)
    return values.mT, index.mT


def _sorted_columns_fake(x: Tensor) -> tuple[Tensor, Tensor]:
    _check_batch("sorted_columns", "x", x)
    values = x.new_empty(x.mT.shape)
    return values.mT, values.new_empty(values.shape, dtype=torch.int64).mT


def _sorted_columns_context(ctx, inputs, output) -> None:
    _, index = output
    ctx.mark_non_differentiable(index)
    ctx.save_for_backward(index)


def _sorted_columns_gradient(ctx, grad: Tensor, _grad_index):
    (index,) = ctx.saved_tensors
    return _sorted_columns_backward(grad, index)


_sorted_columns = operator(
    "sorted_columns(Tensor x) -> (Tensor values, Tensor index)",
    sorted_columns_reference,
    _sorted_columns_fake,
    _sorted_columns_gradient,
    _sorted_columns_context,
)


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
    """
    return _sorted_columns(x)


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
    """
    op = "quantiles"
    _check_batch(op, "x", x)
    rows = x.shape[-2]
    check(rows > 0, f"{op}: x must have a row, got shape {list(x.shape)}")
    for level in levels:
        check(0 <= level <= 1, f"{op}: levels must be from 0 to 1, got {level:g}")
    values = _sorted_columns(x)[0]
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

    sorted_x, sorted_y = _sorted_columns(x)[0], _sorted_columns(y)[0]
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


def _check_eigen_backward(grad: Tensor, vectors: Tensor, a: Tensor) -> None:
    op = "symmetric_eigen_backward"
    _check_square(op, a)
    check_like(op, "a", a, "grad", grad, a.shape[:-1])
    check_like(op, "a", a, "vectors", vectors, a.shape)


def symmetric_eigen_backward_reference(grad: Tensor, vectors: Tensor, a: Tensor) -> Tensor:
    """Gradient of ``a`` from that of its eigenvalues: ``Q diag(g) Q'``."""
    _check_eigen_backward(grad, vectors, a)
    q = vectors.double()
    return ((q * grad.double().unsqueeze(-2)) @ q.mT).to(a.dtype)


def _eigen_backward_fake(grad: Tensor, vectors: Tensor, a: Tensor) -> Tensor:
    _check_eigen_backward(grad, vectors, a)
    return torch.empty_like(a, memory_format=torch.contiguous_format)


def _eigen_backward_context(ctx, inputs, output) -> None:
    _, vectors, _ = inputs
    ctx.save_for_backward(vectors)


def _eigen_backward_backward(ctx, h: Tensor):
    if ctx.needs_input_grad[2]:
        raise RuntimeError(
            "symmetric_eigen: second derivatives in a are not provided, they contain "
            "1 / (l_i - l_j) and do not exist where eigenvalues coincide"
        )
    (vectors,) = ctx.saved_tensors
    q = vectors.double()
    return ((h.double() @ q) * q).sum(-2).to(h.dtype), None, None


_symmetric_eigen_backward = operator(
    "symmetric_eigen_backward(Tensor grad, Tensor vectors, Tensor a) -> Tensor",
    symmetric_eigen_backward_reference,
    _eigen_backward_fake,
    _eigen_backward_backward,
    _eigen_backward_context,
)


# --- symmetric_eigen -----------------------------------------------------------------------------


def symmetric_eigen_reference(a: Tensor, vectors: bool) -> tuple[Tensor, Tensor]:
    """See :func:`symmetric_eigen`."""
    _check_square("symmetric_eigen", a)
    finite = a.tril().isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    # Solvers fail, or wait for ever, where there are numbers that are not finite.
    solved = torch.where(finite, a, 0)
    if vectors:
        values, q = torch.linalg.eigh(solved)
        q = torch.where(finite, q, math.nan).mT.contiguous().mT
    else:
        values, q = torch.linalg.eigvalsh(solved), a.new_empty((*a.shape[:-2], 0, 0))
    return torch.where(finite.squeeze(-1), values, math.nan), q


def _eigen_fake(a: Tensor, vectors: bool) -> tuple[Tensor, Tensor]:
    _check_square("symmetric_eigen", a)
    shape = a.shape if vectors else (*a.shape[:-2], 0, 0)
    return a.new_empty(a.shape[:-1]), a.new_empty(shape).mT


def _eigen_context(ctx, inputs, output) -> None:
    a, ctx.vectors = inputs
    _, vectors = output
    ctx.mark_non_differentiable(vectors)
    ctx.save_for_backward(a, vectors)


def _eigen_gradient(ctx, grad: Tensor, _grad_vectors):
    a, vectors = ctx.saved_tensors
    if not ctx.vectors:
        _, vectors = _symmetric_eigen(a.detach(), True)
    return _symmetric_eigen_backward(grad, vectors, a), None


_symmetric_eigen = operator(
    "symmetric_eigen(Tensor a, bool vectors) -> (Tensor values, Tensor vectors)",
    symmetric_eigen_reference,
    _eigen_fake,
    _eigen_gradient,
    _eigen_context,
)


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
    """
    return _symmetric_eigen(a, a.requires_grad and torch.is_grad_enabled())[0]
