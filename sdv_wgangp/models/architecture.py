"""The networks of a table: their widths, and trainings of networks that have these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.feature_table import FeatureTable, Target
from sdv_wgangp.players.given_cells import given_columns
from sdv_wgangp.training.settings import TrainingSettings


@dataclass(frozen=True)
class Architecture:
    """Widths of the generator and the critic of a table.

    Attributes:
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        pac: Rows that the critic scores together.
        dropout: Of the critic's hidden layers, in the critic's steps.
        make_critic: Makes another critic (`TabularModel`).
        conditioned_blocks: Blocks of the generator that read conditions, from the first.
    """

    embedding_dim: int
    generator_dim: tuple[int, ...]
    discriminator_dim: tuple[int, ...]
    pac: int
    dropout: float
    make_critic: Callable[[int], nn.Module] | None = None
    conditioned_blocks: int = 2

    def plain(self) -> dict[str, Any]:
        """The parameters of a synthesizer that are among these, as JSON holds them."""
        return {
            "embedding_dim": self.embedding_dim,
            "generator_dim": list(self.generator_dim),
            "discriminator_dim": list(self.discriminator_dim),
            "pac": self.pac,
            "dropout": self.dropout,
        }

    def new_generator(
        self, layout: Layout, settings: TrainingSettings, random: torch.Generator
    ) -> Generator:
        """A generator with random weights, on the CPU.

        Args:
            layout: Of the table.
            settings: Tell whether it reads conditions.
            random: Source of the weights, on the CPU.
        """
        given = given_columns(layout, settings.conditional_rows(self.pac))
        # PyTorch's layers draw weights from the global generator before they get ours.
        with torch.random.fork_rng(devices=[]):
            return Generator(
                self.embedding_dim,
                self.generator_dim,
                layout,
                random,
                self.conditioned_blocks if len(given) else 0,
            )

    def new_critic(self, levels: int, dense: int, random: torch.Generator) -> nn.Module:
        """A critic with random weights, on the CPU.

        Args:
            levels: One-hot channels of a row.
            dense: Its other channels.
            random: Source of the weights of ours; another critic draws its own from PyTorch's
                global generator, which is left as it was.
        """
        # Layers draw weights from the global generator, which is not ours to move.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(random.initial_seed())
            if self.make_critic is None:
                return MLPCritic(
                    levels, dense, self.discriminator_dim, random, self.pac, self.dropout
                )
            critic: Any = self.make_critic(self.pac * (levels + dense))
        critic.pac = self.pac
        return critic


def new_training(
    architecture: Architecture,
    layout: Layout,
    settings: TrainingSettings,
    table: EncodedTable,
    random: torch.Generator,
    weight_seed: int,
    *,
    trained: EncodedTable | None = None,
    weights: Mapping[str, Any] | None = None,
    target: Target | None = None,
    about: Mapping[str, Any] | None = None,
    whitening_rows: int = 50_000,
) -> TableTraining:
    """A training of new networks.

    Args:
        architecture: Of the networks.
        layout: Of the table.
        settings: Hyperparameters.
        table: Rows, of which the critic's views are whitened.
        random: Source of the training's randomness, on its device.
        weight_seed: Of the weights, and of the rows that the views are whitened by.
        trained: Rows to train on; None: those of ``table``.
        weights: Of the generator; None: random ones.
        target: The column that meta-features relate others to, if any.
        about: What checkpoints are to know beside the run (`Run.about`).
        whitening_rows: Rows that the critic's views are whitened by, at most.

    Raises:
        ValueError: A setting does not fit the table, or the critic has nothing to train; names it.
    """
    settings = settings.for_rows(len(table), architecture.pac)
    settings = settings.for_table(FeatureTable.of(layout, target))
    initial = torch.Generator().manual_seed(weight_seed)
    views = Views(layout)
    part = table.rows(torch.randperm(len(table), generator=initial)[:whitening_rows])
    views.fit_whitening(layout.level_index(part), part.positions)
    if weights is None:
        generator = architecture.new_generator(layout, settings, initial)
    else:
        generator = architecture.new_generator(layout, settings, torch.Generator())
        generator.load_state_dict(weights)
    given = given_columns(layout, settings.conditional_rows(architecture.pac))
    critic = architecture.new_critic(layout.levels, views.width + len(given), initial)
    device = random.device
    return TableTraining(
        generator.to(device),
        critic.to(device),
        views.to(device),
        layout,
        settings,
        random,
        table if trained is None else trained,
        target,
        about,
    )
