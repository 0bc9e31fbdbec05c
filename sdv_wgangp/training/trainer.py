"""The training loop of the Wasserstein GAN."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Conditions, Generator
from sdv_wgangp.networks.passes import Generated, TrainingPass
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.conditional import code_score, rank_score
from sdv_wgangp.objectives.feature_table import PAIR_ROWS, FeatureTable, Target
from sdv_wgangp.objectives.matching import Batch, MetaFeatureObjective, real_batches
from sdv_wgangp.objectives.meta_features import META_FEATURES
from sdv_wgangp.objectives.wasserstein import (
    Rows,
    critic_step,
    generator_loss,
    one_hot,
    rows_of_step,
)
from sdv_wgangp.ops import PENALTIES_BETWEEN, uses_bfloat16
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.conditions import (
    ConditionSampler,
    given_columns,
)
from sdv_wgangp.training.graph import GraphedStep
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.optimizer import Adam
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.validation import EarlyStopping

logger = logging.getLogger(__name__)
NORM_BATCHES = 50


class NonFiniteLossError(RuntimeError):
    """A loss became infinite or not a number; training stopped."""


@dataclass(frozen=True)
class EpochLog:
    """Means over one epoch, as told to callbacks.

    Attributes:
        epoch: From 0.
        epochs: How many there will be if nothing ends the training early.
        generator_loss: The sum of its terms.
        discriminator_loss: Includes the penalty, as CTGAN's does.
        gradient_penalty: By itself, with its weight.
        rows_per_second: Real rows the critic has seen per second of this epoch.
        meta_feature_losses: Distance between the generator's and the table's value of each
            meta-feature by its name, before weights and schedule (`objectives.matching`).
        validation_score: Of the averaged generator after this epoch
            (`training.validation.HeldOutScore`); None where it was not scored.
        adversarial_loss, meta_feature_loss, conditional_loss: The terms of the generator's loss:
            against the critic, of all meta-features with weights and schedule, and of the scores
            of conditions with their weight. NaN in models that were saved before there were such.
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


class Trainer:
    """Trains a generator against a critic on an encoded table.

    Args:
        generator, critic, views: The networks, on the device of the training.
        layout: The table's layout.
        settings: Hyperparameters.
        random: Source of all randomness, on the same device.
        target: The column that meta-features relate others to, if any.

    Attributes:
        logs: One `EpochLog` per finished epoch.
        optimizers: Of the generator and of the critic.
    """

    def __init__(
        self,
        generator: Generator,
        critic: nn.Module,
        views: Views,
        layout: Layout,
        settings: TrainingSettings,
        random: torch.Generator,
        target: Target | None = None,
    ):
        self.generator, self.critic, self.views = generator, critic, views
        self.settings, self.random = settings, random
        self.device = random.device
        self.layout = layout
        self.offsets = layout.offsets.to(self.device)
        self.levels = layout.levels
        self._ordered = layout.ordered.to(self.device)
        pac = getattr(critic, "pac", 1)
        self._given = given_columns(layout, settings, pac)
        self._conditional = settings.conditional_rows(pac) if len(self._given) else 0
        self._conditions: ConditionSampler | None = None
        self.feature_table = FeatureTable.of(layout, target, self.device)
        self.average = WeightAverage(generator)
        self._generator_adam = Adam(
            generator.parameters(),
            settings.generator_lr,
            settings.generator_decay,
            self.average.module.parameters(),
            settings.ema_decay,
        )
        trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
        if not trained:
            raise ValueError("critic has no parameter that requires a gradient: it cannot learn")
        self._critic_adam = Adam(
            trained,
            settings.discriminator_lr,
            settings.discriminator_decay,
            ahead=settings.discriminator_steps,
        )
        self.optimizers = self._generator_adam, self._critic_adam
        self.logs: list[EpochLog] = []
        self._critic_steps = 0
        self._stopping: EarlyStopping | None = None
        self._index = torch.zeros(
            settings.discriminator_steps,
            settings.batch_size,
            dtype=torch.int64,
            device=self.device,
        )

    def fit(
        self,
        table: EncodedTable,
        callbacks: tuple[Callable[[EpochLog], None], ...] = (),
        seconds: float | None = None,
        stopping: EarlyStopping | None = None,
    ) -> Generator:
        """Train for the epochs of the settings, or until something ends it early.

        That may be the time, the score of held-out rows or an interruption from the keyboard. The
        last epoch may then be shorter than the others.

        Args:
            table: The training rows; copied to the device once.
            callbacks: Called after every epoch.
            seconds: Wall-clock time, in which the learning rates fall to 0 as well; None for as
                much as it takes.
            stopping: Scores the averaged generator and ends the training; None for neither.

        Returns:
            The `result`.

        Raises:
            NonFiniteLossError: Training diverged. `result` gives what was learned before that.
        """
        settings = self.settings
        per_epoch = settings.steps_per_epoch(len(table))
        self.schedule = Schedule(settings.epochs * per_epoch, seconds)
        self._stopping = stopping
        self._table = table.to(self.device)
        if self._conditional:
            self._conditions = ConditionSampler(
                self._given, self.layout, self._table, self._conditional, settings.log_frequency
            )
        self.meta_features = self._match_meta_features()
        with matmul_precision(settings.precision), held_memory() as release:
            self.passes = TrainingPass(self.generator, self.offsets, uses_bfloat16(self.device))
            self._run = self._updates
            if self.device.type == "cuda" and self._capturable:
                self._run = GraphedStep(self._updates, self.random)
            try:
                while not self.schedule.done:
                    log = self._epoch(len(self.logs), per_epoch)
                    if stopping is not None and stopping.due(self.schedule):
                        score = stopping.check(self.preview(), self.schedule)
                        log = replace(log, validation_score=score)
                    self.logs.append(log)
                    release()
                    for callback in callbacks:
                        callback(log)
            except KeyboardInterrupt:
                logger.warning(
                    "Training was interrupted after %d of %d epochs; the model keeps what it has "
                    "learned so far.",
                    len(self.logs),
                    settings.epochs,
                )
            finally:
                # Gradients, copies of weights, graphs: nothing of it is needed any more.
                self.passes = self._run = None
            return self.result()

    @property
    def _capturable(self) -> bool:
        """Whether a CUDA graph can, and may, hold the step."""
        # What another critic does, or a statistic, may be no work for a graph.
        static = self.meta_features is None or self.meta_features.static
        return static and isinstance(self.critic, MLPCritic) and self.settings.cuda_graph

    def result(self) -> Generator:
        """The best generator that was scored, otherwise the averaged one as it is now.

        In evaluation mode.
        """
        if self._stopping is not None and self._stopping.best is not None:
            return self._stopping.best
        return self._settle(self.random)

    def preview(self) -> Generator:
        """The averaged generator as it is now, in evaluation mode, to be looked at.

        It is not a copy. The training goes on as if this had not been called.
        """
        aside = torch.Generator(self.device).manual_seed(self.random.initial_seed() + 1)
        return self._settle(aside)

    def _settle(self, random: torch.Generator) -> Generator:
        """The averaged generator with batch statistics of its own."""
        return self.average.settle(
            (self._settling_batch(random) for _ in range(NORM_BATCHES)),
            self.average.module.features,
        )

    def _settling_batch(self, random: torch.Generator) -> tuple:
        """Noise, and conditions in the same part of the rows as in training.

        The blocks' units were normalised with this mixture when they learned what they do;
        statistics of plain rows alone would make another network of them.
        """
        rows = self.settings.batch_size
        noise, _ = self.generator.draw(rows, random)
        if self._conditions is None:
            return (noise,)
        index = torch.randint(len(self._table), (1, rows), device=self.device, generator=random)
        return noise, self._draw_conditions(index, random)[1]

    def _epoch(self, epoch, per_epoch) -> EpochLog:
        settings = self.settings
        started = time.perf_counter()
        steps = settings.discriminator_steps
        batches = self._batches(len(self._table), per_epoch * steps)
        names = () if self.meta_features is None else self.meta_features.names
        sums = torch.zeros(5 + len(names), device=self.device)
        made = 0
        try:
            for index in batches.view(per_epoch, steps, -1):
                sums += self._step(index)
                made += 1
                if self.schedule.done:
                    break
        except FloatingPointError:
            sums.fill_(torch.nan)
        terms, (critic_loss, penalty), matched = (sums / max(made, 1)).split((3, 2, len(names)))
        generator_loss = float(terms.sum())
        critic_loss, penalty = float(critic_loss), float(penalty)
        seconds = time.perf_counter() - started
        log = EpochLog(
            epoch,
            settings.epochs,
            generator_loss,
            critic_loss + penalty,
            penalty,
            made * steps * settings.batch_size / seconds,
            dict(zip(names, matched.tolist(), strict=True)),
            None,
            *terms.tolist(),
        )
        # The last step's weights have made no loss yet.
        weights = torch.stack([parameter.sum() for parameter in self.generator.parameters()])
        if not (torch.isfinite(sums).all() and torch.isfinite(weights).all()):
            raise NonFiniteLossError(
                f"a loss became non-finite in epoch {epoch + 1} of {settings.epochs} (generator "
                f"{log.generator_loss:g}, discriminator {log.discriminator_loss:g}): what was "
                "learned before is kept; lower discriminator_lr or generator_lr, or raise "
                "gradient_penalty_weight"
            )
        return log

    def _step(self, index: torch.Tensor) -> torch.Tensor:
        """Critic steps, then one generator step.

        Returns:
            The three terms of the generator's loss, critic loss, penalty, and the distances of
            meta-features, one after the other.

        Args:
            index: Rows of the table for each critic step, ``[steps, batch_size]``.
        """
        self._index.copy_(index)
        factors = self.schedule.advance(len(index))
        self._generator_adam.advance(factors[:1])
        self._critic_adam.advance(factors)
        if self.meta_features is not None:
            self.meta_features.advance(self.schedule.phase)
        phase = self._critic_steps % self.settings.gradient_penalty_interval
        self._critic_steps += len(index)
        return self._run(phase)

    def _updates(self, phase: int) -> torch.Tensor:
        """What happens on the device in a step. All it reads stays where it is.

        Args:
            phase: Critic steps since the last penalty.
        """
        settings = self.settings
        steps, rows = settings.discriminator_steps, settings.batch_size
        index, conditions = self._draw_conditions(self._index, self.random)
        # The generator rests meanwhile: one pass serves all critic steps.
        made = self._generate(steps * rows, conditions, for_backward=False)
        fakes = Rows(made.levels, self.views(made.levels, made.positions))
        losses = []
        for step in range(steps):
            given = self._given_in(conditions, step)
            real = self._judged(self._real(index[step]), given)
            fake = self._judged(Rows(*(self._of_step(part, step) for part in fakes)), given)
            packed = rows // getattr(self.critic, "pac", 1)
            # Lazily: every so often a penalty of as many times the weight.
            interval = settings.gradient_penalty_interval
            lazy = (phase + step) % interval
            penalty = "none" if lazy else settings.gradient_penalty
            share = masks = None
            if penalty in PENALTIES_BETWEEN:
                share = torch.rand(packed, 1, device=self.device, generator=self.random)
            if isinstance(self.critic, MLPCritic):
                masks = self.critic.masks(rows_of_step(packed, penalty), self.random)
            losses.append(
                critic_step(
                    self.critic,
                    real,
                    fake,
                    share,
                    settings.gradient_penalty_weight * interval,
                    self.levels,
                    masks,
                    penalty,
                )
            )
            self._critic_adam.apply(
                (parameter.grad for parameter in self._critic_adam.parameters), step
            )
        terms, *matched = self._generator_step(index[-1], self._given_in(conditions, -1))
        critic_losses = torch.stack([torch.stack(step) for step in losses]).mean(0)
        return torch.cat([terms, critic_losses, *matched])

    def _generator_step(
        self, index: torch.Tensor, conditions: Conditions | None
    ) -> tuple[torch.Tensor, ...]:
        """One step of the generator against the critic; terms of its loss, distances.

        Args:
            index: Real rows, ``[batch_size]``. Any will do: the critic's last ones are at hand.
            conditions: Given cells of the first of them.
        """
        if conditions is not None:
            conditions = Conditions(*(_in_pairs(part) for part in conditions))
        made = self._generate(self.settings.batch_size, conditions)
        fake = Rows(made.levels, self.views(made.levels, made.positions))
        loss, to_codes, to_dense = generator_loss(
            self.critic, self._judged(fake, conditions), self.levels
        )
        to_dense = to_dense[:, : self.views.width]
        matched = ()
        of_features = score = torch.zeros_like(loss)
        if self.meta_features is not None:
            # Conditional rows need not follow the table's distribution: plain ones tell.
            plain = slice(self._conditional, None)
            real = self._real(index[plain]) if self.meta_features.needs_real else None
            found = self.meta_features.loss(
                self._batch(Rows(*(part[plain] for part in fake))),
                None if real is None else self._batch(real),
            )
            gradients = Batch(self.views.ordering(to_dense), to_codes)
            for gradient, own in zip(gradients, found.gradient, strict=True):
                if own is not None:
                    gradient[plain] += own
            of_features, matched = found.loss, (found.distances,)
        to_conditions = None
        if self._conditional > 1 and self.settings.conditional_weight:
            score, to_conditions = self._score_pairs(made, fake, index, conditions)
        to_positions, slopes = self.views.backward(to_dense, made.levels, made.positions)
        to_codes = to_codes.to(self.passes.dtype)
        self.passes.backward(
            made, to_codes, to_positions, slopes, self.views.lookups, to_conditions
        )
        self._generator_adam.apply(self.passes.gradients)
        self.passes.refresh()
        return torch.stack([loss, of_features, score]), *matched

    def _score_pairs(
        self,
        made: Generated,
        fake: Rows,
        index: torch.Tensor,
        conditions: Conditions,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The scores of the conditional rows, and their gradient at what conditions add.

        Single real codes are noisy. The weights that plain rows live by do not follow them: they
        learn from the critic alone.
        """
        pairs = self._conditional // 2
        two = slice(2 * pairs)
        fixed = conditions.fixed[:pairs]
        real = self._real(index[:pairs])
        weight = self.settings.conditional_weight / self.settings.batch_size
        logits = made.logits[two] + self.generator.logits.bias
        score, to_logits = code_score(
            logits.unflatten(0, (2, pairs)), real.levels, fixed, self.offsets
        )
        ranks = self.views.ordering(fake.dense)[two].unflatten(0, (2, pairs))
        of_ranks, to_ranks = rank_score(
            ranks, self.views.ordering(real.dense), fixed.index_select(1, self._ordered)
        )
        to_dense = torch.zeros_like(fake.dense[two])
        self.views.ordering(to_dense).copy_(to_ranks.flatten(0, 1))
        to_positions, slopes = self.views.backward(
            to_dense * weight, made.levels[two], made.positions[two]
        )
        slopes.masked_fill_(conditions.fixed[two], 0)
        to_conditions = self.passes.backward_of_conditions(
            made, weight * to_logits.flatten(0, 1), to_positions, slopes, self.views.lookups
        )
        return weight * (score + of_ranks), to_conditions

    def _draw_conditions(
        self, index: torch.Tensor, random: torch.Generator
    ) -> tuple[torch.Tensor, Conditions | None]:
        """Real rows of batches, and the given cells of the first rows of each.

        Args:
            index: Rows of the table, ``[batches, batch_size]``.
        """
        if self._conditions is None:
            return index, None
        index, fixed = self._conditions.draw(index, random)
        levels = self._levels(index[:, : self._conditional].flatten())
        return index, Conditions(levels, fixed)

    def _given_in(self, conditions: Conditions | None, step: int) -> Conditions | None:
        """Those of one critic step."""
        if conditions is None:
            return None
        return Conditions(
            *(part.unflatten(0, (-1, self._conditional))[step] for part in conditions)
        )

    def _of_step(self, made: torch.Tensor, step: int) -> torch.Tensor:
        """The batch of a critic step: those of conditional rows come first, then all others."""
        batch, first = self.settings.batch_size, self._conditional
        plain = batch - first
        if not first:
            return made[step * batch : (step + 1) * batch]
        begin = first * self.settings.discriminator_steps + step * plain
        return torch.cat([made[step * first : (step + 1) * first], made[begin : begin + plain]])

    def _judged(self, rows: Rows, conditions: Conditions | None) -> Rows:
        """Rows as the critic judges them, knowing what was given."""
        if conditions is None:
            return rows
        channels = self._conditions.channels(conditions.fixed, len(rows.dense))
        return Rows(rows.levels, torch.cat([rows.dense, channels], 1))

    def _generate(
        self, rows: int, conditions: Conditions | None, for_backward: bool = True
    ) -> Generated:
        noise = self._noise(rows)
        uniforms = torch.rand(
            rows, len(self.offsets) - 1, device=self.device, generator=self.random
        )
        return self.passes.forward(*noise, uniforms, for_backward, conditions)

    def _levels(self, index: torch.Tensor) -> torch.Tensor:
        return self._table.codes[index].long() + self.offsets[:-1]

    def _real(self, index: torch.Tensor) -> Rows:
        levels = self._levels(index)
        return Rows(levels, self.views(levels, self._table.positions[index]))

    def _match_meta_features(self) -> MetaFeatureObjective | None:
        settings = self.settings
        if not settings.meta_features:
            return None
        rows = len(self._table)
        batches = self._batches(rows, real_batches(rows, settings.batch_size))
        features = [META_FEATURES[name] for name in settings.meta_features]
        table = self.feature_table
        if any(feature.blocks > 1 for feature in features):
            table = table.with_pairs(self._real(batches.flatten()[:PAIR_ROWS]).levels)
        self._reads_codes = any(feature.reads != "channels" for feature in features)
        return MetaFeatureObjective(
            settings.meta_features,
            table,
            (self._batch(self._real(index[self._conditional :])) for index in batches),
            rows,
            self.random,
            weight=settings.meta_feature_weight,
            distance=settings.meta_feature_distance,
            subsets=settings.meta_feature_subsets,
            fraction=settings.meta_feature_fraction,
            schedule=settings.meta_feature_schedule,
        )

    def _batch(self, rows: Rows) -> Batch:
        """Rows as meta-features read them."""
        codes = one_hot(rows.levels, self.levels) if self._reads_codes else None
        return Batch(self.views.ordering(rows.dense), codes)

    def _batches(self, rows: int, count: int):
        """``count`` batches of row indices; every row appears before any appears again."""
        wanted = count * self.settings.batch_size
        passes = -(-wanted // rows)
        if rows < self.settings.batch_size:  # many short passes: shuffled all at once
            keys = torch.rand(passes, rows, device=self.device, generator=self.random)
            return keys.argsort(1).flatten()[:wanted].view(count, -1)
        shuffles = [
            torch.randperm(rows, generator=self.random, device=self.device) for _ in range(passes)
        ]
        return torch.cat(shuffles)[:wanted].view(count, -1)

    def _noise(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.generator.draw(rows, self.random)


def _in_pairs(rows: torch.Tensor) -> torch.Tensor:
    """The first half of some rows twice: row ``i`` and row ``i + len(rows) // 2`` are the same.

    Of an odd number the last row stays by itself.
    """
    half = len(rows) // 2
    return torch.cat([rows[:half], rows[:half], rows[2 * half :]])
