"""The counts of the search for relations: compiled where `_native` was built, else in NumPy."""

from __future__ import annotations

import os

from sdv_wgangp.encoding.relations import counting_numpy

_unavailable: ImportError | None = None
try:
    from sdv_wgangp import _native
except ImportError as error:  # not built for this Python: NumPy serves, status() says why
    _unavailable = error

_served_by = counting_numpy if _unavailable is not None else _native
count_pairs = _served_by.count_pairs
find_triples = _served_by.find_triples
find_dependences = _served_by.find_dependences


def status() -> str:
    """One line that says whether the compiled searches are in use, and why not."""
    if _unavailable is None:
        return "compiled searches for relations: loaded"
    return f"compiled searches for relations: not loaded, NumPy serves: {_unavailable}"


def threads_available() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
