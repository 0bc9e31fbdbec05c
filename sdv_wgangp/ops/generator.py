r"""What a generator's training step does between its matrix products.

The generator is a perceptron of blocks ``x -> [relu(norm(W x)), x]`` with a head of logits. Its
products are torch's, in bfloat16 or float32 (the *operand* type); each operator here is one pass
over what a product gave, in place, with sums, norms and exponentials in float32 or better:

========================== =========================================================
:func:`norm_relu`           batch normalisation and rectifier, forward
:func:`norm_relu_backward`  and back
:func:`code_gradient`       from the gradient at sampled codes to the gradient at the logits
:func:`position_head`       normal scores of the positions, a product that must not be rounded
========================== =========================================================

(`column_sample` draws the codes in between.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.blocks import block_of, block_sum, check_offsets, check_offsets_shape
from sdv_wgangp.ops.checks import (
    check,
    check_device,
    check_dtype,
    check_floating,
    check_operand,
    check_same,
    check_shape,
    check_written,
)
from sdv_wgangp.ops.registry import operator

__all__ = ["code_gradient", "norm_relu", "norm_relu_backward", "position_head"]


def _check_batch(op: str, name: str, tensor: Tensor, weight: Tensor) -> None:
    check(
        tensor.dim() == 2,
        f"{op}: {name} must have two dimensions (rows, width), got shape {list(tensor.shape)}",
    )
    check(tensor.shape[0] > 0, f"{op}: {name} has no rows, got shape {list(tensor.shape)}")
    check_floating(op, "weight", weight)
    check_operand(op, name, tensor, "weight", weight)


def _check_parameters(op: str, width: int, weight: Tensor, **others: Tensor) -> None:
    check_shape(op, "weight", weight, [width])
    for name, tensor in others.items():
        check_shape(op, name, tensor, [width])
        check_same(op, name, tensor, "weight", weight)


# --- norm_relu -----------------------------------------------------------------------------------


def _check_norm_relu(op: str, a: Any) -> None:
    product, weight, out = a.product, a.weight, a.out
    _check_batch(op, "product", product, weight)
    _check_parameters(op, product.shape[1], weight, bias=a.bias)
    check(a.epsilon > 0, f"{op}: epsilon must be positive, got {a.epsilon:g}")
    check_shape(op, "out", out, product.shape)
    check_same(op, "out", out, "product", product)
    check_written(op, "product", product)
    check_written(op, "out", out)


@operator(
    _check_norm_relu,
    lambda a: a.weight.new_empty(a.weight.shape),
    writes=("product", "out"),
    autocast=False,
)
def norm_relu(
    product: Tensor, weight: Tensor, bias: Tensor, epsilon: float, out: Tensor
) -> Tensor:
    r"""Batch normalisation with the batch's own statistics, then a rectifier.

    .. math:: n = \frac{z - \bar z}{\sqrt{s^2 + \epsilon}}, \qquad
        \text{out} = \max(0, \gamma n + \beta)

    with the mean and the biased variance :math:`s^2` of every unit over the rows (Ioffe and
    Szegedy 2015, algorithm 1). A bias of the layer before would cancel; it is not asked for.

    Args:
        product: z, [rows, width]; becomes n in place. float32 or float64 like ``weight``, or
            bfloat16.
        weight, bias: gamma and beta, [width].
        epsilon: positive.
        out: [rows, width], of the dtype of ``product``; may be columns of a wider matrix.

    Returns:
        The inverse standard deviations, [width], for :func:`norm_relu_backward`.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device.

    Example:
        >>> product, out = torch.tensor([[1.0], [3.0]]), torch.empty(2, 1)
        >>> inverse = norm_relu(product, torch.ones(1), torch.zeros(1), 1e-12, out)
        >>> product.tolist(), out.tolist()
        ([[-1.0], [1.0]], [[0.0], [1.0]])
    """
    z = product.to(weight.dtype)
    variance, mean = torch.var_mean(z, 0, correction=0)
    inverse = (variance + epsilon).rsqrt()
    product.copy_((z - mean) * inverse)
    out.copy_(torch.relu(product.to(weight.dtype) * weight + bias))
    return inverse


# --- norm_relu_backward --------------------------------------------------------------------------


def _check_norm_relu_backward(op: str, a: Any) -> None:
    normal, weight = a.normal, a.weight
    _check_batch(op, "normal", normal, weight)
    check_shape(op, "gradient", a.gradient, normal.shape)
    check_same(op, "gradient", a.gradient, "normal", normal)
    names = ("bias", "inverse", "weight_gradient", "bias_gradient")
    others = {name: getattr(a, name) for name in names}
    _check_parameters(op, normal.shape[1], weight, **others)
    check_written(op, "normal", normal)
    for name in ("weight_gradient", "bias_gradient"):
        check(
            others[name].is_contiguous(),
            f"{op}: {name} is written to, so it must be contiguous",
        )


@operator(
    _check_norm_relu_backward,
    writes=("normal", "weight_gradient", "bias_gradient"),
    autocast=False,
)
def norm_relu_backward(
    gradient: Tensor,
    normal: Tensor,
    weight: Tensor,
    bias: Tensor,
    inverse: Tensor,
    weight_gradient: Tensor,
    bias_gradient: Tensor,
) -> None:
    r"""Gradients through :func:`norm_relu`.

    With :math:`y` the gradient where the rectifier was open and 0 elsewhere, and means over rows,

    .. math:: \frac{\gamma}{\sqrt{s^2 + \epsilon}}
        \left(y - \overline{y} - n\,\overline{y n}\right)

    is the gradient at z (Ioffe and Szegedy 2015, section 3).

    Args:
        gradient: at the output, [rows, width], of the dtype of ``normal``; may be columns of a
            wider matrix.
        normal: n, [rows, width]; becomes the gradient at z in place.
        weight, bias: gamma and beta, [width].
        inverse: what :func:`norm_relu` returned, [width].
        weight_gradient, bias_gradient: [width], written to.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device.
    """
    n = normal.to(weight.dtype)
    g = torch.where(n * weight + bias > 0, gradient.to(weight.dtype), 0)
    bias_gradient.copy_(g.sum(0))
    weight_gradient.copy_((g * n).sum(0))
    rows = len(n)
    normal.copy_(weight * inverse * (g - bias_gradient / rows - n * weight_gradient / rows))


# --- code_gradient -------------------------------------------------------------------------------


def _check_code_gradient(op: str, a: Any) -> None:
    gradient, logits, bias, levels, tables = a.gradient, a.logits, a.bias, a.levels, a.tables
    check(bias.dim() == 1, f"{op}: bias must have one dimension, got shape {list(bias.shape)}")
    check_floating(op, "bias", bias)
    width = bias.shape[0]
    check(
        logits.dim() == 2 and logits.shape[1] == width,
        f"{op}: logits must have shape [rows, {width}], got {list(logits.shape)}",
    )
    check_operand(op, "logits", logits, "bias", bias)
    check_shape(op, "gradient", gradient, logits.shape)
    check_same(op, "gradient", gradient, "logits", logits)
    check_written(op, "gradient", gradient)
    columns = check_offsets_shape(op, a.offsets, bias)
    rows = logits.shape[0]
    check_shape(op, "levels", levels, [rows, columns])
    check_dtype(op, "levels", levels, torch.int64)
    check_device(op, "levels", levels, "bias", bias)
    check(
        tables.dim() == 2 and tables.shape[1] == width,
        f"{op}: tables must have shape [tables, {width}], got {list(tables.shape)}",
    )
    check_shape(op, "slopes", a.slopes, [tables.shape[0], rows, columns])
    for name, tensor in (("tables", tables), ("slopes", a.slopes)):
        check_same(op, name, tensor, "bias", bias)


@operator(
    _check_code_gradient,
    lambda a: a.bias.new_empty(a.bias.shape),
    writes=("gradient",),
    autocast=False,
)
def code_gradient(
    gradient: Tensor,
    logits: Tensor,
    bias: Tensor,
    levels: Tensor,
    offsets: Tensor,
    slopes: Tensor,
    tables: Tensor,
) -> Tensor:
    r"""From the gradient at sampled one-hot codes to the gradient at the logits, to second order.

    ReinMax (Liu et al. 2023, "Bridging Discrete and Backpropagation: Straight-Through and
    Beyond", algorithm 2): with :math:`p` the softmax of a column, :math:`d` its one-hot sample,
    :math:`v` the gradient at the codes and :math:`J(q) v = q (v - \langle q, v\rangle)`, it is
    :math:`2 J(\frac{p + d}{2}) v - \frac12 J(p) v`. Where the loss is quadratic in the codes this
    is the exact gradient of its expectation. Worked out, with :math:`l` the sampled level,

    .. math:: g_j = \tfrac12 p_j (v_j - v_l) \quad (j \ne l), \qquad g_l = -\sum_{j \ne l} g_j .

    Where a code also looks up numbers that are differentiated (a rank, a span), :math:`v` has more
    parts: :math:`v_j` = gradient + sum over tables of slope * table, the slope that of the cell.

    Args:
        gradient: at the codes, [rows, width]; becomes the gradient at the logits in place.
        logits: [rows, width] without the bias, of the dtype of ``gradient``: that of ``bias``,
            or bfloat16.
        bias: float32 or float64 [width], added to the logits.
        levels: int64 [rows, columns], the sampled level of every cell, counted over all columns.
        offsets: int64 [columns + 1], ascending from 0 to width.
        slopes: [tables, rows, columns], the gradient at what every cell looked up.
        tables: [tables, width], what the levels look up.

    Returns:
        The gradient at the bias, [width]: the sums over rows.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, if the offsets do not
            ascend from 0 to width or a level is not one of its column. (On CUDA the device checks
            values.)

    Example:
        >>> gradient, logits = torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)
        >>> sampled, none = torch.tensor([[1]]), (torch.zeros(0, 1, 1), torch.zeros(0, 2))
        >>> code_gradient(gradient, logits, torch.zeros(2), sampled, torch.tensor([0, 2]), *none)
        tensor([ 0.2500, -0.2500])
    """
    op = "code_gradient"
    width, columns = len(bias), len(offsets) - 1
    check_offsets(op, offsets, width)
    index = block_of(offsets, width)
    outside = ((levels < offsets[:-1]) | (levels >= offsets[1:])).nonzero()
    if len(outside):
        row, column = outside[0].tolist()
        raise RuntimeError(
            f"{op}: levels must lie in their column, got {int(levels[row, column])} in row {row}, "
            f"column {column}"
        )
    z = logits.to(bias.dtype) + bias
    lowest = z.new_full((len(z), columns), -torch.inf)
    most = lowest.scatter_reduce(1, index.expand_as(z), z, "amax")
    weights = torch.exp(z - most.index_select(1, index))
    p = weights / block_sum(weights, offsets).index_select(1, index)
    v = gradient.to(bias.dtype)
    for slope, table in zip(slopes, tables, strict=True):
        v = v + slope.index_select(1, index) * table
    part = 0.5 * p * (v - v.gather(1, levels).index_select(1, index))
    part = part.scatter_add(1, levels, -block_sum(part, offsets))
    gradient.copy_(part)
    return part.sum(0)


# --- position_head -------------------------------------------------------------------------------


def _check_position_head(op: str, a: Any) -> None:
    features, weight = a.features, a.weight
    check(
        weight.dim() == 2 and weight.shape[0] % 2 == 0,
        f"{op}: weight must have shape [2 positions, features], got {list(weight.shape)}",
    )
    check_floating(op, "weight", weight)
    count = weight.shape[0] // 2
    check(
        features.dim() == 2 and features.shape[1] == weight.shape[1],
        f"{op}: features must have shape [rows, {weight.shape[1]}], got {list(features.shape)}",
    )
    check_operand(op, "features", features, "weight", weight)
    check_shape(op, "bias", a.bias, [2 * count])
    check_shape(op, "jitter", a.jitter, [features.shape[0], count])
    for name, tensor in (("bias", a.bias), ("jitter", a.jitter)):
        check_same(op, name, tensor, "weight", weight)
    check(a.low <= a.high, f"{op}: low must not be above high, got {a.low:g} and {a.high:g}")


@operator(
    _check_position_head,
    lambda a: (a.jitter.new_empty(a.jitter.shape), a.jitter.new_empty(a.jitter.shape)),
    autocast=False,
)
def position_head(
    features: Tensor, weight: Tensor, bias: Tensor, jitter: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    r"""Normal scores of the positions: a linear head of means and log scales, and jitter.

    .. math:: \text{score} = \mu + e^{\text{clamp}(\lambda)}\, \epsilon, \qquad
        (\mu, \lambda) = W x + b .

    The sums are in the type of ``weight`` although the features may be bfloat16: a product in
    bfloat16 would round the scores to 8 bits, coarser than neighbouring rows differ.

    Args:
        features: x, [rows, features], of the dtype of ``weight`` or bfloat16.
        weight, bias: float32 or float64 [2 positions, features] and [2 positions]; means first.
        jitter: epsilon, [rows, positions].
        low, high: range of the log scales.

    Returns:
        The scores [rows, positions], and their derivatives along the log scales (0 outside the
        range), of the same shape. Along the means the derivative is 1.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device.

    Example:
        >>> one, weight = torch.ones(1, 1), torch.tensor([[2.0], [0.0]])
        >>> scores, _ = position_head(one, weight, torch.zeros(2), one, -1.0, 1.0)
        >>> scores.tolist()
        [[3.0]]
    """
    # In double: networks may train in bfloat16 products.
    head = (features.double() @ weight.double().T + bias.double()).to(weight.dtype)
    mean, log_scale = head.chunk(2, dim=1)
    spread = log_scale.clamp(low, high).exp() * jitter
    free = (log_scale >= low) & (log_scale <= high)
    return mean + spread, torch.where(free, spread, 0)
