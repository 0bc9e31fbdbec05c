"""What is said of a fit as it goes on, for those who see no progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sdv_wgangp.training.callbacks.progress import STAGES, expected_steps


class Course:
    """A callback that says what a fit is at, and, once it is known, how long it will take.

    Args:
        say: Prints a line.
        after: Seconds of training after which the pace is known.
        clock: Gives the time in seconds.

    Example:
        >>> course = Course(print)
        >>> course.on_stage("encoding")
        encoding
    """

    def __init__(
        self,
        say: Callable[[str], None],
        after: float = 10.0,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._say, self._after, self._clock = say, after, clock
        self._begun: tuple[float, int] | None = None

    def on_stage(self, name: str) -> None:
        """Say it, but for the training, which `on_fit_begin` knows more of."""
        if name != "training":
            self._say(STAGES.get(name, name).lower())

    def on_fit_begin(self, run: Any) -> None:
        """Say how much there is to do."""
        steps = expected_steps(run) - run.step
        self._say(f"training: {steps:,} steps, {run.epochs - run.epoch:,} epochs")
        self._begun = self._clock(), run.step

    def on_step(self, run: Any) -> None:
        """Say once how long it will take."""
        if self._begun is None:
            return
        started, first = self._begun
        passed = self._clock() - started
        if passed < self._after:
            return
        self._begun = None
        left = passed / (run.step - first) * (expected_steps(run) - run.step)
        if left > self._after:
            self._say(
                f"training ends in about {duration(left)}; Ctrl-C ends it earlier and keeps what "
                "was learnt, --max-seconds sets a limit"
            )


def duration(seconds: float) -> str:
    """A length of time in words.

    Example:
        >>> duration(50), duration(600), duration(14_400), duration(86_400)
        ('50 s', '10 min', '4.0 h', '24.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
