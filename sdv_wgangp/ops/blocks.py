"""The columns' blocks of a row: where they lie, what their offsets have to be, sums over them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check

__all__ = ["block_of", "block_sum", "check_offsets", "check_offsets_shape"]


def check_offsets_shape(op: str, offsets: Tensor, tensor: Tensor) -> int:
    check(
        offsets.dim() == 1 and offsets.shape[0] >= 1,
        f"{op}: offsets must have one dimension (columns + 1), got shape {list(offsets.shape)}",
    )
    check(offsets.dtype == torch.int64, f"{op}: offsets must be int64")
    check(offsets.device == tensor.device, f"{op}: offsets must be on the device of the logits")
    return offsets.shape[0] - 1


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
