"""How far a training has come, and what is left of its learning rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sdv_wgangp.objectives.matching import DECAY_FROM


class Schedule:
    """Constant learning rates, then a linear decay to 0 that is complete when training ends.

    Progress runs from 0 to 1. It is the share of the steps that were made or, where that is more,
    the share of the time that has passed: with too little time for all steps the rates fall as
    the time does, and with enough of it time changes nothing.

    Args:
        steps: Of a training that nothing ends early.
        seconds: Wall-clock time from now on; None for as much as it takes.
        clock: Seconds since some moment.
        decay_from: Progress at which the decay begins, in [0, 1]; 1 is for rates that stay.
        short_decay: How long a decay lasts that `hasten` begins, as a fraction of the progress
            made.

    Attributes:
        steps: How many were made.
    """

    def __init__(
        self,
        steps: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
        decay_from: float = DECAY_FROM,
        short_decay: float = 0.25,
    ):
        self.total, self.steps = steps, 0
        self._seconds, self._clock, self._started = seconds, clock, clock()
        self._end, self._length = 1.0, 1 - decay_from  # of the decay
        self._short_decay = short_decay

    @property
    def limited(self) -> bool:
        """Whether time counts."""
        return self._seconds is not None

    def limit(self, seconds: float) -> None:
        """Let time count, too: so many seconds from now on."""
        self._seconds, self._started = seconds, self._clock()

    @property
    def progress(self) -> float:
        """In [0, 1], never falling."""
        return self._progress(self.steps)

    @property
    def phase(self) -> float:
        """Progress on a scale on which every decay begins at `DECAY_FROM` and ends at 1."""
        now = self.progress
        factor = self._factor(now)
        return now if factor == 1 else 1 - (1 - DECAY_FROM) * factor

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.progress >= self._end

    @property
    def expected_steps(self) -> int:
        """How many steps there will be in all: what was made, at the pace so far, up to the end.

        Example:
            >>> schedule = Schedule(100)
            >>> schedule.advance()
            >>> schedule.expected_steps
            100
        """
        now = self.progress
        if not 0 < now < self._end:
            return max(self.total, self.steps) if now == 0 else self.steps
        return max(self.steps, round(self.steps * self._end / now))

    def factors(self, parts: int) -> list[float]:
        """Of the learning rates, in the ``parts`` equal parts of the next step."""
        progress = [self._progress(self.steps + part / parts) for part in range(parts)]
        return [self._factor(each) for each in progress]

    def advance(self) -> None:
        """A step begins."""
        self.steps += 1

    def hasten(self) -> None:
        """Go over to a short decay: the rates fall faster from where they are.

        A decay that is as short already stays as it is.
        """
        now = self.progress
        length = self._short_decay * now
        if length < self._length:
            self._end, self._length = now + length * self._factor(now), length

    def state_dict(self) -> dict[str, Any]:
        """Where it is; of a time limit, how much has passed."""
        passed = None if self._seconds is None else self._clock() - self._started
        return {
            "total": self.total,
            "steps": self.steps,
            "end": self._end,
            "length": self._length,
            "seconds": self._seconds,
            "passed": passed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, with its limit of time, if it had one."""
        self.total, self.steps = state["total"], state["steps"]
        self._end, self._length = state["end"], state["length"]
        self._seconds = state["seconds"]
        if self._seconds is not None:
            self._started = self._clock() - state["passed"]

    def _factor(self, progress: float) -> float:
        if self._length == 0:
            return 1.0
        return min(1.0, max(0.0, (self._end - progress) / self._length))

    def _progress(self, steps: float) -> float:
        progress = steps / self.total if self.total else 1.0
        if self._seconds is None:
            return min(progress, 1.0)
        return min(max(progress, (self._clock() - self._started) / self._seconds), 1.0)
