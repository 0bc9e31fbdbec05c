"""What the training loop asks of its players, and what passes between them.

A *player* is a network together with the way its gradients are found: by automatic
differentiation (`players.autograd`), for any modules, or by closed forms (`players.columns`,
`players.mlp_critic`), for those of tables. The loop (`training.loop`) knows nothing else.

A *batch* is whatever the players of one model agree on: a tensor, or a named tuple of tensors and
of further such tuples, whose first dimension counts rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

Batch = Any


class Losses(NamedTuple):
    """Scalars by name. They stay on the device: nobody waits for them.

    Attributes:
        names: As many as values; "part/what", as in "generator/adversarial".
        values: Shape ``[names]``, without a graph.
    """

    names: tuple[str, ...]
    values: Tensor

    def within(self, part: str) -> Losses:
        """The same with ``part/`` before every name."""
        return Losses(tuple(f"{part}/{name}" for name in self.names), self.values)

    @classmethod
    def joined(cls, parts: Sequence[Losses]) -> Losses:
        """All of them, one after the other."""
        names = tuple(name for part in parts for name in part.names)
        return cls(names, torch.cat([part.values for part in parts]))

    @classmethod
    def mean(cls, steps: Sequence[Losses]) -> Losses:
        """Of several steps with the same names."""
        if len(steps) == 1:
            return steps[0]
        return cls(steps[0].names, torch.stack([step.values for step in steps]).mean(0))

    def floats(self) -> dict[str, float]:
        """As Python numbers. Waits for the device."""
        return dict(zip(self.names, self.values.tolist(), strict=True))


@dataclass(frozen=True)
class Pulls:
    """Gradients of the generator's loss, where they act.

    Attributes:
        rows: At the generated rows: a batch of their shapes, in which parts that nothing pulls at
            (integers) are None.
        parts: By name, at what else the generator's forward pass has (a player says what it has:
            "conditions" of `players.columns`).
        parameters: At the generator's parameters, in their order; an entry may be None.
    """

    rows: Batch = None
    parts: Mapping[str, Sequence[Tensor | None]] = field(default_factory=dict)
    parameters: Sequence[Tensor | None] | None = None

    def __add__(self, other: Pulls) -> Pulls:
        parts = dict(self.parts)
        for name, own in other.parts.items():
            parts[name] = added(parts.get(name), own)
        return Pulls(added(self.rows, other.rows), parts, added(self.parameters, other.parameters))


def added(one: Batch, other: Batch) -> Batch:
    """The sum of two gradients of one structure; None is zero."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Tensor):
        return one + other
    parts = [added(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*parts) if hasattr(one, "_fields") else type(one)(parts)


def scaled(gradient: Batch, factor: float) -> Batch:
    """A gradient times a number."""
    if factor == 1 or gradient is None:
        return gradient
    if isinstance(gradient, Tensor):
        return gradient * factor
    parts = [scaled(part, factor) for part in gradient]
    return type(gradient)(*parts) if hasattr(gradient, "_fields") else type(gradient)(parts)


class Objective(Protocol):
    """What critic and generator want of the critic's scores (`objectives.adversarial`).

    Attributes:
        paired: Whether a loss compares single real rows with single generated ones.
        interval: Critic steps from one penalty to the next.
        weight_clip: Bound of the critic's weights after each of its steps; None for no bound.
    """

    @property
    def paired(self) -> bool: ...

    @property
    def interval(self) -> int: ...

    @property
    def weight_clip(self) -> float | None: ...

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """A scalar from the scores ``[rows]`` of real and of generated rows."""

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """A scalar from the scores of generated rows, and of real ones where it is `paired`."""

    def penalty_at(self, step: int) -> tuple[str, float]:
        """Kind (`objectives.gradient_penalty.PENALTIES`) and weight of a critic step's penalty."""


class GeneratorPlayer(Protocol):
    """A network that generates rows.

    Attributes:
        parameters: What is trained.
    """

    parameters: list[Tensor]

    def fakes(self, reals: Sequence[Batch], random: torch.Generator) -> list[Batch]:
        """Rows for critics, one batch beside each real one; nothing comes back through them."""

    def given(self, real: Batch) -> Batch:
        """The real batch of the generator's own step: usually ``real`` itself."""

    def forward(self, real: Batch, random: torch.Generator) -> Any:
        """As many generated rows as real ones, with what `backward` has to know."""

    def rows(self, generated: Any) -> Batch:
        """What critics and terms read of what `forward` gave, without a graph."""

    def backward(self, generated: Any, pulls: Pulls) -> Sequence[Tensor | None]:
        """Gradients of `parameters`. What `forward` gave is used up."""

    def refresh(self) -> None:
        """The weights have changed: renew what was made from them."""

    def state_dict(self) -> dict[str, Any]:
        """Of the network."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""


class CriticPlayer(Protocol):
    """A network that scores rows.

    Attributes:
        parameters: What is trained.
    """

    parameters: list[Tensor]

    def step(
        self, objective: Objective, step: int, real: Batch, fake: Batch, random: torch.Generator
    ) -> tuple[Sequence[Tensor | None], Losses]:
        """Gradients of `parameters`, and the losses "loss" and "penalty".

        Args:
            step: Critic steps made before, for penalties that come at intervals.
        """

    def pull(
        self, objective: Objective, fake: Batch, real: Batch, random: torch.Generator
    ) -> tuple[Tensor, Batch]:
        """The generator's loss, a scalar, and its gradient at the generated rows.

        The critic's own gradients stay as they are.
        """

    def state_dict(self) -> dict[str, Any]:
        """Of the network."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""


Player = TypeVar("Player", contravariant=True)


class Term(Generic[Player]):
    """A further part of the generator's loss: meta-features, conditional scores, a likelihood.

    ``Term[Player]`` says what it asks of the generator's player; a `GeneratorPlayer` as it is, if
    nothing more.
    """

    def advance(self, phase: float) -> None:
        """A step begins: do what only the host can do.

        Args:
            phase: Share of the training that is done with this step (`Schedule.phase`).
        """

    def pull(
        self, player: Player, generated: Any, fake: Batch, real: Batch
    ) -> tuple[Losses, Pulls]:
        """Losses by their full names, and their gradients.

        Those named "generator/..." add up to the generator's loss, with their weights in.

        Args:
            player: That made the rows.
            generated: What its forward pass gave.
            fake: Its rows, without a graph.
            real: The real batch they were made beside.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What changes during a training."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
