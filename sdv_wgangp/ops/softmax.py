"""Softmax and exact sampling over the ragged blocks of a row, all columns of a table at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.blocks import block_of, block_sum, check_offsets, check_offsets_shape
from sdv_wgangp.ops.checks import (
    check,
    check_device,
    check_floating,
    check_like,
    check_operand,
    check_shape,
)
from sdv_wgangp.ops.registry import operator

__all__ = ["column_sample", "column_softmax", "column_softmax_backward"]


def _check_matrix(op: str, name: str, tensor: Tensor) -> None:
    check(
        tensor.dim() == 2,
        f"{op}: {name} must have two dimensions (rows, width), got shape {list(tensor.shape)}",
    )
    check_floating(op, name, tensor)


def _check_like_softmax(op: str, name: str, tensor: Tensor, other_name: str, a: Any) -> None:
    """``tensor`` is the argument that the one of the other name is compared with."""
    _check_matrix(op, name, tensor)
    check_like(op, name, tensor, other_name, getattr(a, other_name), list(tensor.shape))
    t = a.temperature
    check(t > 0 and math.isfinite(t), f"{op}: temperature must be positive and finite, got {t:g}")
    check_offsets_shape(op, a.offsets, tensor)


def _block_maximum(values: Tensor, index: Tensor, columns: int) -> Tensor:
    """Maxima over each column's block, [rows, columns]; NaN never counts."""
    values = torch.where(values.isnan(), -math.inf, values)
    lowest = values.new_full((values.shape[0], columns), -math.inf)
    return lowest.scatter_reduce(1, index.expand_as(values), values, "amax")


def _inverse_temperature(temperature: float, dtype: torch.dtype) -> float:
    return min(1.0 / temperature, torch.finfo(dtype).max)


# --- column_softmax_backward ---------------------------------------------------------------------


def _check_softmax_backward(op: str, a: Any) -> None:
    _check_like_softmax(op, "soft", a.soft, "grad_soft", a)


def _softmax_backward_context(ctx: Any, a: Any, output: Tensor) -> None:
    ctx.temperature = a.temperature
    ctx.save_for_backward(a.grad_soft, a.soft, a.offsets)


def _softmax_backward_backward(ctx: Any, h: Tensor) -> dict[str, Tensor | None]:
    """Derivative of r = p (g - <g, p>) / T along h, with g = grad_soft, p = soft, T = temperature.

    dr/dg is the same symmetric map applied to h; for p,
    d<h, r>/dp = (h (g - <g, p>) - g <h, p>) / T, inner products over each column's block.
    """
    g, p, offsets = ctx.saved_tensors
    grad_g = column_softmax_backward(h, p, offsets, ctx.temperature)
    index = block_of(offsets, p.shape[1])
    inner_gp = block_sum(g * p, offsets).index_select(1, index)
    inner_hp = block_sum(h * p, offsets).index_select(1, index)
    grad_p = (h * (g - inner_gp) - g * inner_hp) / ctx.temperature
    return {"grad_soft": grad_g, "soft": grad_p}


@operator(
    _check_softmax_backward,
    lambda a: torch.empty_like(a.soft, memory_format=torch.contiguous_format),
    backward=_softmax_backward_backward,
    context=_softmax_backward_context,
)
def column_softmax_backward(
    grad_soft: Tensor, soft: Tensor, offsets: Tensor, temperature: float
) -> Tensor:
    r"""Gradient at the logits of a softmax over blocks, ``soft`` being its value.

    Within each block :math:`s_j (g_j - \sum_k s_k g_k) / \text{temperature}`. Estimators that
    evaluate the derivative at other distributions than the forward pass call it directly.

    Args:
        grad_soft: [rows, width], the gradient g at the probabilities.
        soft: like ``grad_soft``, the probabilities s.
        offsets: int64 [columns + 1], ascending from 0 to width.
        temperature: positive.

    Returns:
        [rows, width], differentiable in ``grad_soft`` and ``soft``.

    Raises:
        RuntimeError: as `column_softmax`.

    Example:
        >>> gradient, soft = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
        >>> column_softmax_backward(gradient, soft, torch.tensor([0, 2]), 1.0).tolist()
        [[0.25, -0.25]]
    """
    check_offsets("column_softmax_backward", offsets, soft.shape[1])
    index = block_of(offsets, soft.shape[1])
    inner = block_sum(grad_soft * soft, offsets).index_select(1, index)
    scale = _inverse_temperature(temperature, soft.dtype)
    return (soft * (grad_soft - inner) * scale).contiguous()


# --- column_softmax ------------------------------------------------------------------------------


def _check_softmax(op: str, a: Any) -> None:
    _check_like_softmax(op, "logits", a.logits, "noise", a)


def _empty_softmax(a: Any) -> tuple[Tensor, Tensor]:
    soft = torch.empty_like(a.logits, memory_format=torch.contiguous_format)
    return soft, _empty_codes(a)


def _empty_codes(a: Any) -> Tensor:
    return a.logits.new_empty((len(a.logits), len(a.offsets) - 1), dtype=torch.int64)


def _softmax_context(ctx: Any, a: Any, output: tuple[Tensor, Tensor]) -> None:
    ctx.temperature = a.temperature
    soft, codes = output
    ctx.mark_non_differentiable(codes)
    ctx.save_for_backward(soft, a.offsets)


def _softmax_gradient(ctx: Any, grad_soft: Tensor, _grad_codes: Any) -> dict[str, Tensor | None]:
    soft, offsets = ctx.saved_tensors
    return {"logits": column_softmax_backward(grad_soft, soft, offsets, ctx.temperature)}


@operator(_check_softmax, _empty_softmax, backward=_softmax_gradient, context=_softmax_context)
def column_softmax(
    logits: Tensor, noise: Tensor, offsets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    r"""Gumbel-softmax over the ragged blocks of every row, all columns of a table at once.

    Column :math:`c` owns the positions :math:`[o_c, o_{c+1})` of a row. With
    :math:`z = (\text{logits} + \text{noise}) / \text{temperature}`,

    .. math:: \text{soft}_j = \frac{e^{z_j}}{\sum_{o_c \le k < o_{c+1}} e^{z_k}},
        \qquad \text{code}_c = \arg\max_{o_c \le j < o_{c+1}} z_j - o_c .

    With Gumbel noise the codes are exact samples from ``softmax(logits)`` and ``soft`` is their
    relaxation (Jang et al. 2017, Maddison et al. 2017); with noise of zeros this is the plain
    softmax and the most likely level.

    Args:
        logits: float32 or float64 [rows, width]. Levels may be masked with -inf, though not all
            of a column.
        noise: like ``logits``, for example ``-torch.empty_like(logits).exponential_().log()``.
        offsets: int64 [columns + 1] on the same device, ascending from 0 to width; every column
            has at least one level.
        temperature: positive; smaller is harder.

    Returns:
        ``soft`` [rows, width] like ``logits``, differentiable (twice) in ``logits``; and
        ``codes`` int64 [rows, columns], the position of the largest ``logits + noise`` within
        each block, the lowest one where several are equal. A block that holds NaN or +inf, or only
        -inf, has ``soft`` NaN.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, or if the offsets do not
            ascend from 0 to width. (On CUDA the values of the offsets are checked by the device.)

    Example:
        >>> logits, offsets = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0, 2, 4])
        >>> soft, codes = column_softmax(logits, torch.zeros(1, 4), offsets, 1.0)
        >>> soft.tolist(), codes.tolist()
        ([[0.5, 0.5, 0.5, 0.5]], [[0, 0]])
    """
    (rows, width), columns = logits.shape, len(offsets) - 1
    check_offsets("column_softmax", offsets, width)
    index = block_of(offsets, width)
    perturbed = logits + noise
    maximum = _block_maximum(perturbed, index, columns).index_select(1, index)
    position = torch.arange(width, device=logits.device) - offsets.index_select(0, index)
    candidate = torch.where(perturbed == maximum, position, width)
    codes = candidate.new_full((rows, columns), width)
    codes = codes.scatter_reduce(1, index.expand_as(candidate), candidate, "amin")
    codes = torch.where(codes == width, 0, codes)
    scale = _inverse_temperature(temperature, logits.dtype)
    weights = torch.exp((perturbed - maximum) * scale)
    return weights / block_sum(weights, offsets).index_select(1, index), codes


# --- column_sample -------------------------------------------------------------------------------


def _check_sample(op: str, a: Any) -> None:
    logits, uniforms, bias = a.logits, a.uniforms, a.bias
    narrow = logits.dtype == torch.bfloat16
    _check_matrix(op, "uniforms" if narrow else "logits", uniforms if narrow else logits)
    check(
        logits.dim() == 2,
        f"{op}: logits must have two dimensions (rows, width), got shape {list(logits.shape)}",
    )
    if narrow:
        check_operand(op, "logits", logits, "uniforms", uniforms)
    columns = check_offsets_shape(op, a.offsets, logits)
    like = uniforms if narrow else logits
    check_like(op, "logits", like, "uniforms", uniforms, [logits.shape[0], columns])
    if bias is not None:
        check_shape(op, "bias", bias, [logits.shape[1]])
        check(bias.dtype == uniforms.dtype, f"{op}: bias must have the same dtype as uniforms")
        check_device(op, "bias", bias, "logits", logits)


@operator(_check_sample, _empty_codes)
def column_sample(
    logits: Tensor, uniforms: Tensor, offsets: Tensor, bias: Tensor | None = None
) -> Tensor:
    r"""Exact samples from ``softmax(logits + bias)`` of every column, one uniform number each.

    Inverts the cumulative distribution: with :math:`p = \text{softmax}(\text{logits})` over the
    block of column :math:`c`, the code is the first level :math:`j` with
    :math:`\sum_{k \le j} p_k > u`. Codes therefore never decrease as the uniform grows. A level
    whose probability is 0 (logit -inf, or in float32 more than 87 below the largest) is never
    drawn, whatever the uniform: from 1 on (or NaN) it means the last level that has a probability.

    Args:
        logits: float32, float64 or bfloat16 [rows, width]; blocks as in :func:`column_softmax`.
            Levels may be masked with -inf, though not all of a column.
        uniforms: [rows, columns] in [0, 1), of the dtype of ``logits``; float32 with bfloat16.
        offsets: int64 [columns + 1] on the same device, ascending from 0 to width.
        bias: [width], of the dtype of ``uniforms``, added to the logits of every row: a product
            in bfloat16 loses less without it.

    Returns:
        Codes, int64 [rows, columns]. Not differentiable.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, if the offsets do not
            ascend from 0 to width, or if a block holds NaN, +inf or only -inf. (On CUDA the
            device checks the offsets, and a block that is no distribution gives any code of its
            column: nothing here waits for the host.)

    Example:
        >>> uniforms = torch.tensor([[0.4], [0.6]])
        >>> column_sample(torch.zeros(2, 2), uniforms, torch.tensor([0, 2])).tolist()
        [[0], [1]]
    """
    op = "column_sample"
    logits = logits.to(uniforms.dtype)
    if bias is not None:
        logits = logits + bias
    (rows, width), columns = logits.shape, len(offsets) - 1
    check_offsets(op, offsets, width)
    if rows == 0 or columns == 0:
        return offsets.new_empty((rows, columns))
    index = block_of(offsets, width)
    maximum = _block_maximum(logits, index, columns)
    weights = torch.exp(logits - maximum.index_select(1, index)).double()
    total = block_sum(weights, offsets)
    undefined = (~((total > 0) & total.isfinite())).flatten().nonzero().flatten()
    if undefined.numel():
        row, column = divmod(int(undefined[0]), columns)
        raise RuntimeError(
            f"{op}: logits of row {row}, column {column} are no distribution "
            "(NaN, +inf, or all -inf)"
        )
    # One running sum along the row; every block has mass 1, so what came before a block can be
    # subtracted without loss of more than a few units in the last place of a double.
    running = (weights / total.index_select(1, index)).cumsum(1)
    start = torch.cat((running.new_zeros(rows, 1), running), 1).index_select(1, offsets[:-1])
    # Written so that a uniform of NaN passes every level, and one below 0 none that has mass.
    target = uniforms.double().clamp(min=0).index_select(1, index)
    below = ~(running - start.index_select(1, index) > target)
    passed = offsets.new_zeros((rows, columns)).index_add(1, index, below.long())
    # Never beyond the last level with mass, whatever was lost in rounding.
    position = torch.arange(width, device=logits.device) - offsets.index_select(0, index)
    massive = torch.where(weights > 0, position, -1)
    last = passed.new_full((rows, columns), -1)
    last = last.scatter_reduce(1, index.expand_as(massive), massive, "amax")
    return torch.minimum(passed, last)
