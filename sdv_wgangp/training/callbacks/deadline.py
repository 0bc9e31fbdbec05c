"""A limit of time for a training."""

from __future__ import annotations

from typing import Any


class Deadline:
    """Lets the learning rates fall to 0, and the training end, when a time is up.

    With enough time for all steps it changes nothing (`training.schedule.Schedule`). A training
    that continues from a checkpoint has what was left of its time.

    Args:
        seconds: Wall-clock time from the training's beginning.

    Raises:
        ValueError: It is not above 0.
    """

    def __init__(self, seconds: float):
        if not seconds > 0:
            raise ValueError(f"seconds must be above 0, got {seconds:g}")
        self.seconds = seconds

    def on_fit_begin(self, run: Any) -> None:
        """Set the limit."""
        if not run.schedule.limited:
            run.schedule.limit(self.seconds)
