"""Requests to terminate: the process ends in order, and leaves no temporary files."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# SIGTERM, and of POSIX the end of the terminal.
REQUESTS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within the block a request to terminate is an exception, so that what was begun is cleared.

    Only in the place of the system's own handlers: ``nohup`` has another.

    Raises:
        SystemExit: With 128 and the number of the signal.
    """
    with _handled(signal.SIG_DFL, _end):
        yield


@contextlib.contextmanager
def system_default() -> Iterator[None]:
    """Within the block of `terminable`, the system's handlers again.

    A training has its own in their place, which waits for the end of a step
    (`training.signals.Interruptions`).
    """
    with _handled(_end, signal.SIG_DFL):
        yield


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _handled(before: object, now: object) -> Iterator[None]:
    """``now`` in the place of ``before``, for the requests that have it."""
    replaced = []
    if threading.current_thread() is threading.main_thread():
        replaced = [each for each in REQUESTS if signal.getsignal(each) is before]
    try:
        for number in replaced:
            signal.signal(number, now)  # type: ignore[arg-type]
        yield
    finally:
        for number in replaced:
            signal.signal(number, before)  # type: ignore[arg-type]
