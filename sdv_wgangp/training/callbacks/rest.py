"""A player that waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Rest:
    """Keeps a player's weights where they are for the first steps, while the others learn.

    A generator that is good already would follow a critic that has learned nothing away from where
    it is.

    Args:
        player: Its name among the run's optimizers.
        steps: For how many of the steps to come.
    """

    def __init__(self, player: str, steps: int):
        self.player, self.steps = player, steps
        self._rate: float | None = None

    def on_fit_begin(self, run: Any) -> None:
        """It rests."""
        if self.steps:
            optimizer = run.optimizers[self.player]
            self._rate, optimizer.base_rate = optimizer.base_rate, 0.0

    def on_step(self, run: Any) -> None:
        """One step less."""
        self.steps -= 1
        if self._rate is not None and self.steps <= 0:
            run.optimizers[self.player].base_rate, self._rate = self._rate, None

    def state_dict(self) -> dict[str, Any]:
        """How long it is to rest yet."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.steps = max(state["steps"], 0)

    def on_fit_end(self, run: Any) -> None:
        """It has its rate back."""
        if self._rate is not None:
            run.optimizers[self.player].base_rate, self._rate = self._rate, None
