"""Keeps the memory of a training step from going back to the system between operations."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator

# glibc's mallopt parameters and the defaults that its manual page gives.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_TOP_PAD: 0, M_MMAP_THRESHOLD: 128 * 1024}
HELD = {M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 4 * 2**20, M_MMAP_THRESHOLD: 32 * 2**20}

_lock = threading.Lock()
_holders = 0  # threads of the process that train


@contextlib.contextmanager
def held_memory() -> Iterator[Callable[[], None]]:
    """Let glibc keep freed memory inside the block; give it back at the end.

    The activations of one step are a megabyte each. By default glibc returns such blocks to the
    system when they are freed, and the page faults of getting them again cost as much as the
    arithmetic of the step. Where the C library is not glibc nothing is changed. Once set, glibc
    no longer adapts its threshold for large blocks by itself; the rest is as before. Of several
    threads that train, the last one to end restores it.

    Yields:
        A function that gives back what is free at the moment. Call it every few hundred steps:
        glibc before 2.38 seldom uses an aligned block again (its bug 14581), and torch's are all
        aligned, so the memory held would grow with the number of steps.
    """
    global _holders
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "malloc_trim"):
        yield lambda: None
        return
    with _lock:
        _holders += 1
        for parameter, value in HELD.items():
            library.mallopt(parameter, value)
    try:
        yield lambda: library.malloc_trim(0)
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                for parameter, value in DEFAULTS.items():
                    library.mallopt(parameter, value)
        library.malloc_trim(0)
