"""What a training tells of itself, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; training stopped."""


@dataclass(frozen=True)
class EpochLog:
    """Means over one epoch, as told to callbacks.

    Attributes:
        epoch: From 0.
        epochs: How many there will be if nothing ends the training early.
        generator_loss: The sum of its terms.
        discriminator_loss: Includes the penalty, as CTGAN's does; of all critics.
        gradient_penalty: By itself, with its weight.
        rows_per_second: Real rows the critic has seen per second of this epoch.
        meta_feature_losses: Distance between the generator's and the table's value of each
            meta-feature by its name, before weights and schedule (`objectives.matching`).
        validation_score: Of the averaged generator after this epoch
            (`training.validation.HeldOutScore`); None where it was not scored.
        adversarial_loss, meta_feature_loss, conditional_loss: The terms of the generator's loss:
            against the critic, of all meta-features with weights and schedule, and of the scores
            of conditions with their weight. NaN in models that were saved before there were such.
        losses: Every loss by its name, those above among them.
        step: Steps made since the beginning of the training.
    """

    epoch: int
    epochs: int
    generator_loss: float
    discriminator_loss: float
    gradient_penalty: float
    rows_per_second: float
    meta_feature_losses: dict[str, float] = field(default_factory=dict)
    validation_score: float | None = None
    adversarial_loss: float = math.nan
    meta_feature_loss: float = math.nan
    conditional_loss: float = math.nan
    losses: dict[str, float] = field(default_factory=dict)
    step: int = 0

    @classmethod
    def of(
        cls,
        epoch: int,
        epochs: int,
        losses: Mapping[str, float],
        rows_per_second: float = math.nan,
        step: int = 0,
    ) -> EpochLog:
        """From losses by name: "generator/...", "critic.../loss", "critic.../penalty", and
        "meta_features/..." for distances."""

        def total(begin: str, end: str = "") -> float:
            return sum(
                value
                for name, value in losses.items()
                if name.startswith(begin) and name.endswith(end)
            )

        begin = "meta_features/"
        return cls(
            epoch,
            epochs,
            total("generator/"),
            total("critic"),
            total("critic", "/penalty"),
            rows_per_second,
            {n.removeprefix(begin): v for n, v in losses.items() if n.startswith(begin)},
            adversarial_loss=total("generator/adversarial"),
            meta_feature_loss=losses.get("generator/meta_features", 0.0),
            conditional_loss=losses.get("generator/conditional", 0.0),
            losses=dict(losses),
            step=step,
        )
