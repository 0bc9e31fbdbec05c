"""The critic of tables, by compiled closed forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp import ops
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.ops import PENALTIES_BETWEEN
from sdv_wgangp.players.protocols import Losses
from sdv_wgangp.players.rows import Rows, RowsGradient


class CompiledCritic:
    """An `MLPCritic` whose step is one operator without automatic differentiation.

    The interpolates and their gradients are never written out level by level
    (`sdv_wgangp.ops.critic_step`, docs/derivations.md). Losses that are not linear in the scores
    come in by their derivatives there.

    Args:
        critic: On the device of the training.
    """

    def __init__(self, critic: MLPCritic):
        self.critic = critic
        self.parameters: list[Tensor] = list(critic.parameters())
        self.parameter_names = [name for name, _ in critic.named_parameters()]
        # Kept from step to step: fresh memory for a wide table costs more than its arithmetic.
        self._gradients = [torch.empty_like(parameter) for parameter in self.parameters]

    def step(
        self, objective: Any, step: int, real: Rows, fake: Rows, random: torch.Generator
    ) -> tuple[list[Tensor], Losses]:
        """See `players.protocols.CriticPlayer`."""
        critic = self.critic
        packed = len(real.levels) // critic.pac
        penalty, weight = objective.penalty_at(step)
        between = penalty in PENALTIES_BETWEEN
        epsilon = None
        if between:
            epsilon = torch.rand(packed, 1, device=real.levels.device, generator=random)
            epsilon = epsilon.to(self.parameters[0].dtype)
        masks = critic.masks((3 if between else 2) * packed, random)
        reals, fakes = (critic.pack(rows.levels, rows.dense) for rows in (real, fake))
        derivatives, loss = None, None
        if not objective.linear:
            scores = self._scores(reals, fakes, masks)
            derivatives, loss = objective.derivatives(*scores), objective.critic_loss(*scores)
        losses = ops.critic_step(
            *reals,
            *fakes,
            epsilon,
            self.parameters,
            self._gradients,
            masks=masks or (),
            slope=critic.slope,
            penalty=penalty,
            weight=weight,
            derivatives=derivatives,
        )
        if loss is not None:
            losses = torch.stack([loss, losses[1]])
        return list(self._gradients), Losses(("loss", "penalty"), losses)

    def pull(
        self, objective: Any, fake: Rows, real: Rows, random: torch.Generator
    ) -> tuple[Tensor, RowsGradient]:
        """See `players.protocols.CriticPlayer`. Dropout rests in this step."""
        critic, derivatives = self.critic, None
        packed = critic.pack(fake.levels, fake.dense)
        if not objective.linear:
            others = critic.pack(real.levels, real.dense) if objective.paired else None
            scores = self._score(packed)
            opposite = None if others is None else self._score(others)
            derivatives = objective.generator_derivatives(scores, opposite)
        loss, to_codes, to_dense = ops.critic_row_gradient(
            *packed, self.parameters, slope=critic.slope, derivatives=derivatives
        )
        if derivatives is not None:
            loss = objective.generator_loss(scores, opposite)
        rows = len(fake.levels)
        return loss, RowsGradient(to_codes.view(rows, critic.levels), to_dense.view_as(fake.dense))

    def _score(
        self, packed: tuple[Tensor, Tensor], masks: list[Tensor] | tuple[()] = ()
    ) -> Tensor:
        return ops.critic_scores(*packed, self.parameters, masks=masks, slope=self.critic.slope)

    def _scores(
        self,
        reals: tuple[Tensor, Tensor],
        fakes: tuple[Tensor, Tensor],
        masks: list[Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Of real and generated rows, with the masks that the step will drop units by."""
        count = len(reals[0])
        of_reals = [mask[:count] for mask in masks or ()]
        of_fakes = [mask[count : 2 * count] for mask in masks or ()]
        return self._score(reals, of_reals), self._score(fakes, of_fakes)

    def state_dict(self) -> dict[str, Any]:
        """Of the network."""
        return {"module": dict(self.critic.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.critic.load_state_dict(state["module"])
