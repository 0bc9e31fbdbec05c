"""The operators in plain PyTorch: what serves where no kernel was compiled, and the tests' oracle.

Every function here has the signature of the operator of the same name, works on any device, takes
O(rows x width) memory and has no loop over columns. The checks raise what the compiled kernels
raise, word for word.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import (
    check,
    check_device,
    check_floating,
    check_like,
    check_operand,
    check_shape,
)

__all__ = ["column_sample", "column_softmax", "column_softmax_backward"]


def _check_matrix(op: str, name: str, tensor: Tensor) -> None:
    check(
        tensor.dim() == 2,
        f"{op}: {name} must have two dimensions (rows, width), got shape {list(tensor.shape)}",
    )
    check_floating(op, name, tensor)


def check_offsets_shape(op: str, offsets: Tensor, tensor: Tensor) -> int:
    check(
        offsets.dim() == 1 and offsets.shape[0] >= 1,
        f"{op}: offsets must have one dimension (columns + 1), got shape {list(offsets.shape)}",
    )
    check(offsets.dtype == torch.int64, f"{op}: offsets must be int64")
    check(offsets.device == tensor.device, f"{op}: offsets must be on the device of the logits")
    return offsets.shape[0] - 1


def check_softmax(
    op: str, names: tuple[str, str], first: Tensor, second: Tensor, offsets: Tensor, t: float
) -> int:
    """Checks shapes, dtypes and devices of the softmax operators; returns the column count.

    ``names`` are the arguments' names: ``first`` is the one the others are compared with.
    """
    _check_matrix(op, names[0], first)
    check_like(op, names[0], first, names[1], second, list(first.shape))
    check(t > 0 and math.isfinite(t), f"{op}: temperature must be positive and finite, got {t:g}")
    return check_offsets_shape(op, offsets, first)


def check_sample(
    logits: Tensor, uniforms: Tensor, offsets: Tensor, bias: Tensor | None = None
) -> int:
    """Checks shapes, dtypes and devices for ``column_sample``; returns the column count."""
    op = "column_sample"
    narrow = logits.dtype == torch.bfloat16
    _check_matrix(op, "uniforms" if narrow else "logits", uniforms if narrow else logits)
    check(
        logits.dim() == 2,
        f"{op}: logits must have two dimensions (rows, width), got shape {list(logits.shape)}",
    )
    if narrow:
        check_operand(op, "logits", logits, "uniforms", uniforms)
    columns = check_offsets_shape(op, offsets, logits)
    like = uniforms if narrow else logits
    check_like(op, "logits", like, "uniforms", uniforms, [logits.shape[0], columns])
    if bias is not None:
        check_shape(op, "bias", bias, [logits.shape[1]])
        check(bias.dtype == uniforms.dtype, f"{op}: bias must have the same dtype as uniforms")
        check_device(op, "bias", bias, "logits", logits)
    return columns


def check_offsets(op: str, offsets: Tensor, width: int) -> None:
    """Checks the values of ``offsets``. Reads them, so a GPU is waited for."""
    at = offsets.tolist()
    check(at[0] == 0, f"{op}: offsets must begin with 0, got {at[0]}")
    for c, (start, stop) in enumerate(pairwise(at)):
        check(
            start < stop,
            f"{op}: column {c} is empty, offsets[{c}] = {start} and offsets[{c + 1}] = {stop}",
        )
    check(
        at[-1] == width,
        f"{op}: offsets must end with the width of the logits, {width}, got {at[-1]}",
    )


def block_of(offsets: Tensor, width: int) -> Tensor:
    """For every position of a row the column it belongs to, int64 [width]."""
    columns = torch.arange(offsets.shape[0] - 1, device=offsets.device)
    return torch.repeat_interleave(columns, offsets.diff(), output_size=width)


def block_sum(values: Tensor, offsets: Tensor) -> Tensor:
    """Sums over each column's block: [rows, width] to [rows, columns]. Differentiable."""
    index = block_of(offsets, values.shape[1])
    return values.new_zeros(values.shape[0], offsets.shape[0] - 1).index_add(1, index, values)


def _block_maximum(values: Tensor, index: Tensor, columns: int) -> Tensor:
    """Maxima over each column's block, [rows, columns]; NaN never counts."""
    values = torch.where(values.isnan(), -math.inf, values)
    lowest = values.new_full((values.shape[0], columns), -math.inf)
    return lowest.scatter_reduce(1, index.expand_as(values), values, "amax")


def _inverse_temperature(temperature: float, dtype: torch.dtype) -> float:
    return min(1.0 / temperature, torch.finfo(dtype).max)


def column_softmax(
    logits: Tensor, noise: Tensor, offsets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """See :func:`sdv_wgangp.ops.column_softmax`."""
    op = "column_softmax"
    columns = check_softmax(op, ("logits", "noise"), logits, noise, offsets, temperature)
    rows, width = logits.shape
    check_offsets(op, offsets, width)
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


def column_softmax_backward(
    grad_soft: Tensor, soft: Tensor, offsets: Tensor, temperature: float
) -> Tensor:
    """The gradient of the logits, [rows, width], from that of ``soft`` (see formulas.h)."""
    op = "column_softmax_backward"
    check_softmax(op, ("soft", "grad_soft"), soft, grad_soft, offsets, temperature)
    check_offsets(op, offsets, soft.shape[1])
    index = block_of(offsets, soft.shape[1])
    inner = block_sum(grad_soft * soft, offsets).index_select(1, index)
    scale = _inverse_temperature(temperature, soft.dtype)
    return (soft * (grad_soft - inner) * scale).contiguous()


def column_sample(
    logits: Tensor, uniforms: Tensor, offsets: Tensor, bias: Tensor | None = None
) -> Tensor:
    """See :func:`sdv_wgangp.ops.column_sample`."""
    op = "column_sample"
    columns = check_sample(logits, uniforms, offsets, bias)
    logits = logits.to(uniforms.dtype)
    if bias is not None:
        logits = logits + bias
    rows, width = logits.shape
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
