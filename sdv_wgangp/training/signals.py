"""Interruptions that wait for the end of a step, so that what is kept is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeAlias

# What `signal.signal` takes and gives.
Handler: TypeAlias = "Callable[[int, FrameType | None], Any] | int | signal.Handlers | None"


class Interruptions:
    """Within the block, Ctrl-C and a request to terminate are noted, not obeyed.

    A second Ctrl-C raises at once. Only in the main thread, and only in the place of the handlers
    that Python and the system have by default: others have their reasons.

    Attributes:
        pending: Name of the signal that has come; None for none.
    """

    def __init__(self):
        self.pending: str | None = None
        self._before: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number, default in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) is default:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.pending is not None:
            raise KeyboardInterrupt
        self.pending = signal.Signals(number).name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
