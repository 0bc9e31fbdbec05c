"""How far a training has come, and what is left of its learning rates."""

from __future__ import annotations

import time
from collections.abc import Callable

# Progress at which a training of the planned length begins to decay.
DECAY_FROM = 0.5
# A decay that begins earlier lasts this share of the progress made until then.
SHORT_DECAY = 0.25


class Schedule:
    """Constant learning rates, then a linear decay to 0 that is complete when training ends.

    Progress runs from 0 to 1. It is the share of the steps that were made or, where that is more,
    the share of the time that has passed: with too little time for all steps the rates fall as
    the time does, and with enough of it time changes nothing.

    Args:
        steps: Of a training that nothing ends early.
        seconds: Wall-clock time from now on; None for as much as it takes.
        clock: Seconds since some moment.

    Attributes:
        steps: How many were made.
    """

    def __init__(
        self,
        steps: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.total, self.steps = steps, 0
        self._seconds, self._clock, self._started = seconds, clock, clock()
        self._decay_from, self._end = DECAY_FROM, 1.0

    @property
    def progress(self) -> float:
        """In [0, 1], never falling."""
        return self._progress(self.steps)

    @property
    def decaying(self) -> bool:
        return self.progress >= self._decay_from

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.progress >= self._end

    def advance(self, parts: int) -> list[float]:
        """Factors of the learning rates in the ``parts`` equal parts of the next step."""
        made = (self._progress(self.steps + part / parts) for part in range(parts))
        length = self._end - self._decay_from
        factors = [min(1.0, max(0.0, (self._end - share) / length)) for share in made]
        self.steps += 1
        return factors

    def stop_improving(self) -> None:
        """Begin a short decay now or, if the rates are falling already, end the training."""
        now = self.progress
        if now >= self._decay_from:
            self._end = now
        else:
            self._decay_from, self._end = now, now * (1 + SHORT_DECAY)

    def _progress(self, steps: float) -> float:
        made = steps / self.total if self.total else 1.0
        if self._seconds is None:
            return min(made, 1.0)
        return min(max(made, (self._clock() - self._started) / self._seconds), 1.0)
