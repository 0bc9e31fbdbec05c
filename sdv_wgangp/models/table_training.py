"""The training of a table's generator: players, terms, optimizers and batches, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.models.generator_terms import generator_terms
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.feature_table import Target
from sdv_wgangp.players.given_cells import ConditionSampler, given_columns
from sdv_wgangp.players.mlp_critic import CompiledCritic
from sdv_wgangp.players.table_players import critic_player, generator_player
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.graph import GraphedUpdate
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.loop import train, update
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.optimizers import Adam, make_optimizer
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.run import Critic, Run
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.table_source import TableSource


class Releasing:
    """A callback that gives free memory back to the system, once an epoch.

    Args:
        release: Does so (`training.memory.held_memory`).
    """

    def __init__(self, release: Callable[[], None]):
        self._release = release

    def on_epoch(self, run: Run) -> None:
        """Give it back."""
        self._release()


class TableTraining:
    """A `Run` of a table, its batches, and the generator that comes of it.

    Args:
        generator, critic, views: The networks, on the device of the training.
        layout: The table's layout.
        settings: Hyperparameters.
        random: Source of all randomness, on the same device.
        table: The training rows; copied to the device once.
        target: The column that meta-features relate others to, if any.
        about: What checkpoints are to know beside the run (`Run.about`).
        norm_batches: Batches that the final statistics of the normalisation are taken from.

    Attributes:
        run, source: For `training.loop.train`.
        average: Of the generator's weights.

    Raises:
        ValueError: The critic has nothing to train, or a setting does not fit; names it.
    """

    def __init__(
        self,
        generator: Generator,
        critic: nn.Module,
        views: Views,
        layout: Layout,
        settings: TrainingSettings,
        random: torch.Generator,
        table: EncodedTable,
        target: Target | None = None,
        about: Mapping[str, Any] | None = None,
        norm_batches: int = 50,
    ):
        pac = getattr(critic, "pac", 1)
        settings = settings.for_rows(len(table), pac)
        self.settings, self._random = settings, random
        self._norm_batches, device = norm_batches, random.device
        table = table.to(device)
        columns = given_columns(layout, settings.conditional_rows(pac))
        sampler = None
        if len(columns):
            rows = settings.conditional_rows(pac)
            sampler = ConditionSampler(columns, layout, table, rows, settings.log_frequency)
        with matmul_precision(settings.precision):
            self.player = generator_player(generator, views, layout, sampler, device)
        self.source = TableSource(
            table,
            self.player,
            settings.batch_size,
            settings.discriminator_steps,
            settings.steps_per_epoch(len(table)),
        )
        self.average = WeightAverage(generator)
        trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
        if not trained:
            raise ValueError("critic has no parameter that requires a gradient: it cannot learn")
        adversary = settings.make_objective()
        opponent = Critic(critic_player(critic, layout.levels, adversary), adversary)
        self.run = Run(
            generator=self.player,
            critics={"critic": opponent},
            optimizers={
                "generator": make_optimizer(
                    settings.optimizer,
                    self.player.parameters,
                    settings.generator_lr,
                    decay=settings.generator_decay,
                    betas=settings.betas,
                    average=self.average.module.parameters(),
                    average_decay=settings.ema_decay,
                ),
                "critic": make_optimizer(
                    settings.optimizer,
                    opponent.player.parameters,
                    settings.discriminator_lr,
                    decay=settings.discriminator_decay,
                    betas=settings.betas,
                    ahead=settings.discriminator_steps,
                ),
            },
            random=random,
            average=self.average,
            critic_steps=settings.discriminator_steps,
            max_grad_norm=(
                {}
                if settings.max_grad_norm is None
                else dict.fromkeys(("generator", "critic"), settings.max_grad_norm)
            ),
            hyperparameters=settings.plain(),
            about=dict(about or {}),
        )
        self.run.terms, static = generator_terms(
            generator,
            self.source,
            layout,
            views,
            settings,
            random,
            conditional=0 if sampler is None else sampler.rows,
            target=target,
            optimizer=self.run.optimizers["generator"],
        )
        # What another critic does, or a statistic, may be no work for a graph.
        closed = isinstance(opponent.player, CompiledCritic) and all(
            isinstance(optimizer, Adam) for optimizer in self.run.optimizers.values()
        )
        self.capturable = static and closed and settings.cuda_graph
        if self.capturable and device.type == "cuda":
            self.run.graph = GraphedUpdate(update, settings.gradient_penalty_interval)

    def continues(self, logs: Sequence[EpochLog], epochs: int) -> None:
        """Begin behind the epochs of these logs, with a schedule for so many more."""
        run = self.run
        run.logs[:], run.epoch = logs, len(logs)
        run.step = logs[-1].step if logs else 0
        run.schedule = Schedule(epochs * self.source.steps_per_epoch)

    def players_state(self) -> dict[str, Any]:
        """Weights and optimizers of both players, the run's own; without the average."""
        run = self.run
        return {
            "generator": self.player.state_dict(),
            "critic": run.critics["critic"].player.state_dict(),
            "optimizers": {
                name: {**each.state_dict(), "average": None}
                for name, each in run.optimizers.items()
            },
        }

    def load_players_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `players_state`."""
        self.player.load_state_dict(state["generator"])
        self.player.refresh()
        self.run.critics["critic"].player.load_state_dict(state["critic"])
        for name, optimizer in self.run.optimizers.items():
            own = {"average": optimizer.state_dict()["average"]}
            optimizer.load_state_dict({**state["optimizers"][name], **own})

    def train(self, epochs: int, callbacks: Sequence[Any] = ()) -> None:
        """Train until there are so many epochs in all, or until something ends it early.

        Args:
            epochs: Those before `continues` among them.
            callbacks: See `training.watchers`.

        Raises:
            Exception: See `training.loop.train`; `result` gives what was learned before.
        """
        with matmul_precision(self.settings.precision), held_memory() as release:
            train(self.run, self.source, epochs, (*callbacks, Releasing(release)))

    def result(self) -> Generator:
        """The averaged generator as it is now, in evaluation mode."""
        return self._averaged(self._random)

    def preview(self) -> Generator:
        """The same, to be looked at: the training goes on as if it had not been called.

        It is not a copy.
        """
        random = torch.Generator(self._random.device)
        return self._averaged(random.manual_seed(self._random.initial_seed() + 1))

    def _averaged(self, random: torch.Generator) -> Generator:
        """The averaged generator with batch statistics of its own, in training's precision."""
        averaged = self.average.module
        assert isinstance(averaged, Generator)
        with matmul_precision(self.settings.precision):
            self.average.update_bn(
                (self._norm_batch(random) for _ in range(self._norm_batches)), averaged.features
            )
        return averaged

    def _norm_batch(self, random: torch.Generator) -> tuple[Any, ...]:
        """Noise, and conditions in the same part of the rows as in training.

        The blocks' units were normalised with this mixture when they learned what they do;
        statistics of plain rows alone would make another network of them.
        """
        rows, source = self.settings.batch_size, self.source
        noise, _ = self.player.network.draw(rows, random)
        if self.player.conditions is None:
            return (noise,)
        device = self._random.device
        index = torch.randint(source.row_count, (1, rows), device=device, generator=random)
        (real,) = source.batches(index, random)
        return noise, real.conditions
