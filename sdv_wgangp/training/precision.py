"""Products in bfloat16 with float32 weights, where the processor has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Run float32 matrix products in the given precision, and restore the caller's setting.

    Args:
        precision: ``"medium"`` multiplies in bfloat16 and adds in float32 where the processor
            can; ``"highest"`` is plain float32 (`torch.set_float32_matmul_precision`).
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
