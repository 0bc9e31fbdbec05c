"""Products in bfloat16 with float32 weights, where the processor has them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import torch

# Of the process, and so of all its threads: who computes in which precision.
_changed = threading.Condition()
_holders: list[int] = []
_outside = ""
if hasattr(os, "register_at_fork"):  # a child has none of the other threads
    os.register_at_fork(after_in_child=_holders.clear)


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Run float32 matrix products in the given precision, and restore the caller's setting.

    The setting is the process's. Threads that want the same share it, and the last of them
    restores it; one that wants another waits until they have ended.

    Args:
        precision: ``"medium"`` multiplies in bfloat16 and adds in float32 where the processor
            can; ``"highest"`` is plain float32 (`torch.set_float32_matmul_precision`).

    Raises:
        RuntimeError: The thread itself computes in another precision already.
    """
    global _outside
    own = threading.get_ident()
    with _changed:
        while _holders and torch.get_float32_matmul_precision() != precision:
            if own in _holders:
                raise RuntimeError(f"inside another precision than {precision!r}")
            _changed.wait()
        if not _holders:
            _outside = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(precision)
        _holders.append(own)
    try:
        yield
    finally:
        with _changed:
            _holders.remove(own)
            if not _holders:
                torch.set_float32_matmul_precision(_outside)
                _changed.notify_all()
