"""Argument checks of the references; they raise what the compiled kernels raise, word for word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def check_shape(op: str, name: str, tensor: Tensor, expected: Sequence[int]) -> None:
    check(
        list(tensor.shape) == list(expected),
        f"{op}: {name} must have shape {list(expected)}, got {list(tensor.shape)}",
    )


def check_floating(op: str, name: str, tensor: Tensor) -> None:
    check(
        tensor.dtype in (torch.float32, torch.float64), f"{op}: {name} must be float32 or float64"
    )


def check_dtype(op: str, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    check(tensor.dtype == dtype, f"{op}: {name} must be {str(dtype).removeprefix('torch.')}")


def check_device(op: str, name: str, tensor: Tensor, other: str, like: Tensor) -> None:
    check(tensor.device == like.device, f"{op}: {name} must be on the device of {other}")


def check_same(op: str, name: str, tensor: Tensor, other: str, like: Tensor) -> None:
    """Dtype and device."""
    check(tensor.dtype == like.dtype, f"{op}: {name} must have the dtype of {other}")
    check_device(op, name, tensor, other, like)


def check_like(
    op: str, name: str, tensor: Tensor, other_name: str, other: Tensor, sizes: Sequence[int]
) -> None:
    """``other`` must have these sizes and be what ``tensor`` is."""
    check_shape(op, other_name, other, sizes)
    check(other.dtype == tensor.dtype, f"{op}: {other_name} must have the same dtype as {name}")
    check_device(op, other_name, other, name, tensor)


def check_operand(op: str, name: str, tensor: Tensor, other: str, sums: Tensor) -> None:
    """``tensor`` is a factor or the result of products; ``sums`` has the type of sums."""
    check(
        tensor.dtype == sums.dtype
        or (tensor.dtype == torch.bfloat16 and sums.dtype == torch.float32),
        f"{op}: {name} must have the dtype of {other}, or bfloat16 where that is float32",
    )
    check_device(op, name, tensor, other, sums)


def check_written(op: str, name: str, tensor: Tensor) -> None:
    """A matrix that is written to, row by row."""
    rows, width = tensor.shape
    check(
        (width <= 1 or tensor.stride(1) == 1) and (rows <= 1 or tensor.stride(0) >= width),
        f"{op}: {name} is written to, so the elements of a row must be adjacent and its rows "
        "apart",
    )
