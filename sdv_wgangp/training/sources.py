"""Where the batches of a training come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sdv_wgangp.players.batches import leaves, mapped
from sdv_wgangp.players.protocols import Batch


class Source(Protocol):
    """Real batches, one for each critic step.

    Attributes:
        steps_per_epoch: Steps, of all critic steps and a generator's.
        rows_per_step: Real rows that the critics see in a step.
    """

    steps_per_epoch: int
    rows_per_step: int

    def epoch(self, run: Any, start: int = 0) -> Iterator[Any]:
        """What is drawn for every step of an epoch, from the ``start``-th on.

        It draws from ``run.random`` before the first step alone, if at all: what happens between
        two steps belongs to the players.
        """

    def batches(self, drawn: Any, random: torch.Generator) -> Sequence[Batch]:
        """The real batches of a step, one for each critic step."""

    def state_dict(self) -> dict[str, Any]:
        """What the order of an epoch that was begun follows from."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""


class ShuffledRows:
    """Row numbers of a table: every row is drawn before any is drawn again.

    Args:
        rows: How many there are.
        batch_size: Rows in a batch.
        critic_steps: Batches in a step.
        steps_per_epoch: None for as many as show the critic every row ``critic_steps`` times.
    """

    def __init__(
        self, rows: int, batch_size: int, critic_steps: int = 1, steps_per_epoch: int | None = None
    ):
        self.row_count, self.batch_size, self.critic_steps = rows, batch_size, critic_steps
        self.steps_per_epoch = steps_per_epoch or max(rows // batch_size, 1)
        self.rows_per_step = batch_size * critic_steps
        self._random_before: Tensor | None = None

    def epoch(self, run: Any, start: int = 0) -> Iterator[Tensor]:
        """Indices ``[critic steps, batch_size]`` of every step; see `Source`."""
        random = run.random
        if start and self._random_before is None:
            raise ValueError(
                f"the epoch was begun with another source, of which this one does not know the "
                f"order of rows: train on with that source (after {start} steps)"
            )
        if start:
            # The order of the epoch is drawn once more from where it was drawn, then the random
            # numbers go on from where they were.
            now = random.get_state()
            random.set_state(self._random_before)
        self._random_before = random.get_state()
        drawn = shuffled_batches(
            self.row_count, self.batch_size, self.steps_per_epoch * self.critic_steps, random
        )
        if start:
            random.set_state(now)
        yield from drawn.view(self.steps_per_epoch, self.critic_steps, -1)[start:]

    def state_dict(self) -> dict[str, Any]:
        """The random numbers that the order of the current epoch was drawn from."""
        return {"random_before": self._random_before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._random_before = state["random_before"]


class TensorSource(ShuffledRows):
    """Batches of tensors that are in memory.

    Args:
        data: A tensor whose first dimension counts rows, or a (nested, named) tuple of such.
        batch_size: Rows in a batch.
        critic_steps: Batches in a step, as the run's.
        steps_per_epoch: See `ShuffledRows`.

    Raises:
        ValueError: The tensors differ in their rows, or there are none.
    """

    def __init__(
        self,
        data: Batch,
        batch_size: int,
        critic_steps: int = 1,
        steps_per_epoch: int | None = None,
    ):
        lengths = {len(part) for part in leaves(data)}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"data must have equally many rows in all parts, at least one; got {lengths}"
            )
        super().__init__(lengths.pop(), batch_size, critic_steps, steps_per_epoch)
        self.data = data

    def batches(self, drawn: Tensor, random: torch.Generator) -> list[Batch]:
        """The rows of every critic step."""
        return [
            mapped(lambda part, index=index: part.index_select(0, index), self.data)
            for index in drawn
        ]


def shuffled_batches(rows: int, batch_size: int, count: int, random: torch.Generator) -> Tensor:
    """Row numbers ``[count, batch_size]``; every row appears before any appears again."""
    device = random.device
    wanted = count * batch_size
    passes = -(-wanted // rows)
    if rows < batch_size:  # many short passes: shuffled all at once
        keys = torch.rand(passes, rows, device=device, generator=random)
        return keys.argsort(1).flatten()[:wanted].view(count, -1)
    shuffles = [torch.randperm(rows, generator=random, device=device) for _ in range(passes)]
    return torch.cat(shuffles)[:wanted].view(count, -1)
