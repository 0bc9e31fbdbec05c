"""Matrix products of small matrices without their usual overhead."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_same, check_shape, check_written
from sdv_wgangp.ops.registry import operator

__all__ = ["multiply"]


def _check_multiply(op: str, args: Any) -> None:
    a, b, out = args.a, args.b, args.out
    check(a.dim() == 2, f"{op}: a must have two dimensions, got shape {list(a.shape)}")
    check(
        b.dim() == 2 and b.shape[0] == a.shape[1],
        f"{op}: b must have shape [{a.shape[1]}, columns], got {list(b.shape)}",
    )
    check_shape(op, "out", out, [a.shape[0], b.shape[1]])
    check(
        a.dtype in (torch.bfloat16, torch.float32, torch.float64),
        f"{op}: a must be bfloat16, float32 or float64",
    )
    for name, tensor in (("b", b), ("out", out)):
        check_same(op, name, tensor, "a", a)
    check_written(op, "out", out)


@operator(_check_multiply, writes=("out",), autocast=False)
def _multiply(a: Tensor, b: Tensor, out: Tensor, add: bool) -> None:
    """``out`` = a b, or += a b."""
    if a.dtype == torch.bfloat16:
        # On the CPU torch reads beyond the columns of a slice, and NaN * 0 is NaN.
        a = a.contiguous()
    if add:
        torch.addmm(out, a, b, out=out)
    else:
        torch.mm(a, b, out=out)


def multiply(a: Tensor, b: Tensor, out: Tensor | None = None, *, add: bool = False) -> Tensor:
    """``out = a b``, or ``out += a b``.

    In bfloat16, on processors with tile instructions (AMX), up to twice as fast as `torch.mm` for
    the matrices of a training step, whatever their strides; otherwise it is `torch.mm`. Sums are
    float32 there, and rounded once. Only the numbers of the operands are read, so nothing beside
    a slice matters.

    Args:
        a: bfloat16, float32 or float64 [rows, inner]; its transpose or a slice will do.
        b: [inner, columns].
        out: [rows, columns], may be columns of a wider matrix; a new one by default.
        add: Whether to add to what is there.

    Returns:
        ``out``. Not differentiable.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device.

    Example:
        >>> multiply(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])).tolist()
        [[11.0]]
    """
    if out is None:
        out = a.new_empty(a.shape[0], b.shape[-1])
    _multiply(a, b, out, add)
    return out
