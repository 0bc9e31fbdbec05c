"""Norms of the gradients, by player and by layer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class GradientNorms:
    """Notes the norm of every gradient that an optimizer gets.

    Nothing waits for the device in a step; norms are fetched when they are read.

    Args:
        every_steps: Note those of every so many steps.
        keep: So many of the latest are kept.

    Raises:
        ValueError: A number is no positive integer.

    Example:
        >>> from types import SimpleNamespace
        >>> norms = GradientNorms()
        >>> gradients = {"critic": [torch.tensor([3.0]), torch.tensor([4.0])]}
        >>> norms.on_step(SimpleNamespace(step=1, gradients=gradients, critics={}))
        >>> norms.steps, norms.of("critic").tolist(), norms.by_layer("critic")["1"].tolist()
        ([1], [5.0], [4.0])
    """

    def __init__(self, every_steps: int = 1, keep: int = 1000):
        for name, value in (("every_steps", every_steps), ("keep", keep)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        self.every_steps, self.keep = every_steps, keep
        self._names: dict[str, list[str]] = {}
        self._noted: deque[tuple[int, dict[str, Tensor]]] = deque(maxlen=keep)

    @property
    def steps(self) -> list[int]:
        """The steps that were noted."""
        return [step for step, _ in self._noted]

    @property
    def players(self) -> list[str]:
        """Those that had gradients."""
        return list(self._names)

    def of(self, player: str) -> Tensor:
        """Norms of all gradients of a player together, ``[steps]``, on the CPU.

        Raises:
            KeyError: There is no such player.
        """
        return self._all(player).nan_to_num(0.0).norm(dim=1)

    def by_layer(self, player: str) -> dict[str, Tensor]:
        """Norms ``[steps]`` of each parameter's gradient, NaN where there was none.

        The names are the player's ``parameter_names``; without them, numbers.

        Raises:
            KeyError: There is no such player.
        """
        return dict(zip(self._names[player], self._all(player).unbind(1), strict=True))

    def on_step(self, run: Any) -> None:
        """Note the norms of the step."""
        if run.step % self.every_steps == 0:
            self.note(run)

    @torch.no_grad()
    def note(self, run: Any) -> None:
        """Note the norms of the last step, whichever it is."""
        norms = {}
        for player, gradients in run.gradients.items():
            given = [gradient for gradient in gradients if gradient is not None]
            if not given:
                continue
            own = torch.stack(torch._foreach_norm([gradient.float() for gradient in given]))
            if len(given) < len(gradients):
                there = [place for place, each in enumerate(gradients) if each is not None]
                every = own.new_full((len(gradients),), torch.nan)
                every[torch.tensor(there, device=own.device)] = own
                own = every
            norms[player] = own
            if player not in self._names:
                self._names[player] = _names(run, player, gradients)
        self._noted.append((run.step, norms))

    def state_dict(self) -> dict[str, Any]:
        """The norms, fetched."""
        return {
            "steps": self.steps,
            "names": {name: list(own) for name, own in self._names.items()},
            "norms": {player: self._all(player) for player in self._names},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._names = {name: list(own) for name, own in state["names"].items()}
        self._noted.clear()
        for place, step in enumerate(state["steps"]):
            self._noted.append((step, {name: own[place] for name, own in state["norms"].items()}))

    def _all(self, player: str) -> Tensor:
        """``[steps, parameters]`` on the CPU."""
        missing = torch.full((len(self._names[player]),), torch.nan)
        rows = [norms.get(player, missing) for _, norms in self._noted]
        if not rows:
            return missing.new_empty((0, len(missing)))
        devices = {row.device for row in rows}
        if len(devices) > 1:  # some were loaded
            rows = [row.cpu() for row in rows]
        return torch.stack(rows).cpu()


def layer_norms(run: Any) -> dict[str, dict[str, float]]:
    """Norms of the last step's gradients, by player and parameter. Waits for the device."""
    latest = GradientNorms()
    latest.note(run)
    return {
        player: {name: float(own[-1]) for name, own in latest.by_layer(player).items()}
        for player in latest.players
    }


def _names(run: Any, player: str, gradients: Sequence[Tensor | None]) -> list[str]:
    owner = run.generator if player == "generator" else run.critics.get(player)
    owner = getattr(owner, "player", owner)
    names = getattr(owner, "parameter_names", None)
    names = names() if callable(names) else names
    if names is None:
        return [str(index) for index in range(len(gradients))]
    return list(names)
