"""A tabular WGAN-GP: encoding, networks, objectives and training, put together."""

from __future__ import annotations

import copy
import logging
import secrets
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sdv_wgangp.calibration.calibrate import Calibration, calibrate
from sdv_wgangp.calibration.conditional import ConditionalCalibration, calibrate_conditional
from sdv_wgangp.calibration.extremes import reach_extremes
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.conditions import (
    FREE,
    allowed_codes,
    native_part,
)
from sdv_wgangp.models.cost import warn_of_cost
from sdv_wgangp.models.fingerprint import digest_of
from sdv_wgangp.models.table_figures import table_figures
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Conditions, Generator
from sdv_wgangp.networks.passes import SamplingPass
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.feature_table import FeatureTable, Target
from sdv_wgangp.ops import uses_bfloat16
from sdv_wgangp.players.given_cells import given_columns
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.callbacks.deadline import Deadline
from sdv_wgangp.training.callbacks.rest import Rest
from sdv_wgangp.training.log import EpochLog, NonFiniteLossError
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.validation import EarlyStopping, HeldOutScore, held_out_rows
from sdv_wgangp.training.watchers import check_callbacks, tell_stage

logger = logging.getLogger(__name__)
WHITENING_ROWS = 50_000
# Rows that sampling works on at a time: their features stay in the cache.
CHUNK_ROWS = 2**11
# Blocks of the generator that read conditions, from the first.
CONDITIONED_BLOCKS = 2
# Rows under conditions that are drawn together, about.
DRAWN_TOGETHER = 2**16
# Rows of noise over which the probabilities of a column are averaged.
PROBED_ROWS = 2**8, 2**11
# The calibration is timed before training on this part of the rows that it generates. With all of
# them it takes as many times longer, and more than that where few rows of a trained generator are
# kept.
REHEARSED_PART = 8
REHEARSAL_MARGIN = 1.5
# Total variation from its training marginal above which a calibrated column is warned of, and how
# many such columns are named.
FAR, NAMED = 0.1, 5


class TabularModel:
    """Learns the joint distribution of a frame's columns and draws new rows from it.

    Args:
        settings: Hyperparameters of the training.
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        pac: Rows that the critic judges together.
        dropout: Of the critic's hidden layers, in the critic's steps.
        rounded: Whether sampled numbers have no more decimals than those of their training column.
        calibrate: Whether samples are calibrated to the training marginals. Either way the
            calibration is prepared: set ``calibrated`` to switch later.
        enable_gpu: Use CUDA where there is one.
        random_state: Seed of the fit; None draws one.
        target: Column that meta-features like "gravity" relate the others to.
        critic: Makes another critic: called with the width of a packed one-hot row, returns a
            module from rows ``[n, width]`` to scores ``[n]``.

    Attributes:
        logs: One `EpochLog` for each epoch.
        calibrated: Whether `sample` applies the calibration.
    """

    def __init__(
        self,
        settings: TrainingSettings | None = None,
        *,
        embedding_dim: int = 128,
        generator_dim: tuple[int, ...] = (256, 256),
        discriminator_dim: tuple[int, ...] = (256, 256),
        pac: int = 1,
        dropout: float = 0.0,
        rounded: bool = True,
        calibrate: bool = True,
        enable_gpu: bool = True,
        random_state: int | None = None,
        target: str | None = None,
        critic: Callable[[int], nn.Module] | None = None,
    ):
        self.settings = settings or TrainingSettings()
        self.embedding_dim = embedding_dim
        self.generator_dim = tuple(generator_dim)
        self.discriminator_dim = tuple(discriminator_dim)
        self.pac = pac
        self.dropout = dropout
        self.rounded = rounded
        self.calibrated = calibrate
        self._enable_gpu = enable_gpu
        self.random_state = random_state
        self.target = target
        self._make_critic = critic
        self._device = _device(enable_gpu)
        self._random: torch.Generator | None = None
        self._conditional_calibration: ConditionalCalibration | None = None
        self.logs: list[EpochLog] = []
        # What only `continue_fit` needs, and no file holds.
        self._players: dict[str, Any] | None = None

    def fit(
        self,
        frame: pd.DataFrame,
        discrete_columns: Iterable[str] = (),
        ordinal_columns: Iterable[str] = (),
        callbacks: Sequence[Any] = (),
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
    ) -> TabularModel:
        """Learn from a frame.

        ``max_seconds`` of the settings covers all of this method. The time for calibration (and
        the last check of early stopping) is estimated before training by doing a part of it with
        the untrained generator, and kept free; the fit ends about when it should, not exactly.
        Where time is too short for all epochs, how many steps are made depends on the machine, so
        the fit is not reproducible.

        With ``early_stopping`` rows are held out from the critic. They count all the same in the
        encoding and in the calibration.

        Args:
            frame: Training rows; missing values are learned as values of their own.
            discrete_columns: Columns to treat as categories whatever their dtype.
            ordinal_columns: Columns with a fixed set of values, ordered where these are numbers.
            callbacks: Called with an `EpochLog` after every epoch, or objects with further
                methods (`training.watchers`).
            checkpoints: Where the training is saved as it goes on.
            resume: Continue from the newest of them, bit for bit as if the training had never
                stopped (but for a limit of time, with the same processor, threads and versions).
                Where there is none the training begins anew, and a warning says so.

        Raises:
            ValueError: The frame or a setting does not fit (too few rows to hold out, too little
                time for anything but the calibration); names it, before training starts.
            CheckpointMismatchError: A checkpoint is of another table, of other settings or
                versions; names what differs, before training starts.
            NonFiniteLossError: Training diverged. The model can be sampled all the same: it is
                what it was before.
            Exception: What a callback raised, after the fit: the model can be sampled, too.
        """
        started = time.perf_counter()
        if resume and checkpoints is None:
            raise ValueError("there is nothing to resume from: give checkpoints")
        callbacks = check_callbacks(callbacks)
        discrete_columns, ordinal_columns = tuple(discrete_columns), tuple(ordinal_columns)
        self._conditional_calibration = None
        self._check_settings()
        held_out = 0
        if self.settings.early_stopping:
            held_out = held_out_rows(len(frame), self.settings.validation_fraction)
        tell_stage(callbacks, "encoding")
        # What was learned before does not fit what is to come.
        self.__dict__.pop("_calibration", None)
        saved = None
        if checkpoints is not None:
            checkpoints.fingerprint = self._fingerprint(frame, discrete_columns, ordinal_columns)
            with matmul_precision(self.settings.precision):
                # PyTorch's float32 products depend on the threads, those in bfloat16 do not.
                bfloat16 = uses_bfloat16(self._device)
                checkpoints.any_threads = bfloat16 and self._make_critic is None
            saved = checkpoints.load() if resume else None
            checkpoints.prepare(0 if saved is None else saved["step"])
        if saved is not None:
            seed = saved["about"]["seed"]
        elif self.random_state is None:
            seed = secrets.randbits(63)
        else:
            seed = self.random_state
        seeds = np.random.SeedSequence(seed).generate_state(6, np.uint64) >> np.uint64(1)
        numpy_seed, weight_seed, training_seed, sample_seed, held_out_seed, reference_seed = map(
            int, seeds
        )
        self._reference_seed = reference_seed
        self.encoder = TableEncoder(discrete_columns, ordinal_columns, self.rounded).fit(frame)
        table = self.encoder.encode(frame, np.random.default_rng(numpy_seed))
        self.layout = Layout.of(self.encoder)
        warn_of_cost(self.encoder, self.layout, len(frame), self.settings)
        target = None if self.target is None else self._find_target()
        settings = self.settings.for_table(FeatureTable.of(self.layout, target))
        initial = torch.Generator().manual_seed(weight_seed)
        random = torch.Generator(self._device).manual_seed(training_seed)
        self.set_random_state(sample_seed)

        views = Views(self.layout)
        part = table.rows(torch.randperm(len(table), generator=initial)[:WHITENING_ROWS])
        views.fit_whitening(self.layout.level_index(part), part.positions)
        generator = self.new_generator(initial)
        # A caller's critic draws its weights from the global generator, which is not ours to move.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(weight_seed)
            given = given_columns(self.layout, self.settings.conditional_rows(self.pac))
            critic = self._critic(views.width + len(given), initial)
        trained, score = table, None
        if held_out:
            aside = torch.Generator().manual_seed(held_out_seed)
            order = torch.randperm(len(table), generator=aside)
            score = HeldOutScore(table.rows(order[:held_out]), self.layout, held_out_seed % 2**32)
            trained = table.rows(order[held_out:].sort().values)
        training = TableTraining(
            generator.to(self._device),
            critic.to(self._device),
            views.to(self._device),
            self.layout,
            settings,
            random,
            trained,
            target,
            about={"seed": seed},
        )
        self.logs = training.run.logs
        self._describe(training, frame)
        watching, stopping = list(callbacks), None
        if checkpoints is not None:
            watching.append(checkpoints)
        if saved is not None:
            training.run.load_state_dict(saved)
        if score is not None:

            def scored(generator: nn.Module) -> float:
                tell_stage(callbacks, "validation")
                found = self._held_out_score(generator, score, held_out_seed)
                tell_stage(callbacks, "training")
                return found

            stopping = EarlyStopping(
                scored, _preview_of(training), score.noise, self.settings.patience
            )
            watching.insert(0, stopping)
        if self.settings.max_seconds is not None:
            ending = self._rehearse(training.preview(), table, stopping)
            seconds = started + self.settings.max_seconds - time.perf_counter() - ending
            if seconds <= 0:
                raise ValueError(
                    f"max_seconds ({self.settings.max_seconds:g}) leaves no time for training: "
                    f"encoding and calibration take about "
                    f"{self.settings.max_seconds - seconds:.1f} s; give more or leave it out"
                )
            watching.insert(0, Deadline(seconds))
        self._train(training, table, watching, stopping, self.settings.epochs)
        return self

    def _train(
        self,
        training: TableTraining,
        table: EncodedTable,
        callbacks: Sequence[Any],
        stopping: EarlyStopping | None,
        epochs: int,
    ) -> None:
        """Train, take over what was learned, and calibrate it; whatever ends the training."""
        tell_stage(callbacks, "training")
        failed, first = None, training.run.step
        try:
            training.train(epochs, callbacks)
        except Exception as error:  # a divergence, or a callback's: what was learned is kept
            failed = error
            if training.run.step == first:
                raise  # nothing was
        finally:
            training.run.figures = {}  # they know this model's training, and it them
        # The best that was scored, otherwise the last.
        best = None if stopping is None else stopping.best
        self.generator = training.result() if best is None else best
        self.logs = training.run.logs
        diverged = isinstance(failed, NonFiniteLossError)
        self._players = None if diverged else training.players_state()
        try:
            tell_stage(callbacks, "calibration")
        except Exception as error:
            failed = failed or error
        try:
            self._calibrate(table, training.run.random)
        except Exception:
            if failed is None:
                raise
            # What ended the training says more than what came of it.
            logger.exception("The calibration failed after that")
        if failed is not None:
            raise failed

    def continue_fit(
        self, frame: pd.DataFrame, epochs: int, callbacks: Sequence[Any] = ()
    ) -> TabularModel:
        """Train on, on the same or newer rows of the same columns.

        The encoding stays as it is; the calibration is to the new rows. A model that was loaded
        has no critic: a new one is trained first, against a generator at rest.

        Args:
            frame: Its columns are those of the first fit.
            epochs: How many more.
            callbacks: As for `fit`.

        Raises:
            RuntimeError: The model was not fitted.
            ValueError: A column is absent, holds a category or a missing value that it had not
                when it was fitted, or no longer follows from the column that determined it; names
                it, before training starts.
        """
        if not self.can_sample:
            raise RuntimeError("there is nothing to continue: fit the model first")
        callbacks = check_callbacks(callbacks)
        self._check_settings()
        tell_stage(callbacks, "encoding")
        self.encoder.check_same_kind(frame)
        seed = int(torch.randint(2**62, (), device=self._device, generator=self._random))
        numpy_seed, weight_seed, training_seed = map(
            int, np.random.SeedSequence(seed).generate_state(3, np.uint64) >> np.uint64(1)
        )
        table = self.encoder.encode(frame, np.random.default_rng(numpy_seed))
        initial = torch.Generator().manual_seed(weight_seed)
        views = Views(self.layout)
        part = table.rows(torch.randperm(len(table), generator=initial)[:WHITENING_ROWS])
        views.fit_whitening(self.layout.level_index(part), part.positions)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(weight_seed)
            given = given_columns(self.layout, self.settings.conditional_rows(self.pac))
            critic = self._critic(views.width + len(given), initial)
        generator = self.new_generator(initial)
        generator.load_state_dict(self.generator.state_dict())
        target = None if self.target is None else self._find_target()
        self._warn_of_what_is_not_continued()
        training = TableTraining(
            generator.to(self._device),
            critic.to(self._device),
            views.to(self._device),
            self.layout,
            self.settings.for_table(FeatureTable.of(self.layout, target)),
            torch.Generator(self._device).manual_seed(training_seed),
            table,
            target,
            about={"seed": seed},
        )
        training.continues(self.logs, epochs)
        self._describe(training, frame)
        watching = list(callbacks)
        if self._players is None:
            watching.insert(0, Rest("generator", training.source.steps_per_epoch * epochs // 10))
        else:
            training.load_players_state(self._players)
        self._conditional_calibration = None
        self._train(training, table, watching, None, len(self.logs) + epochs)
        return self

    def _warn_of_what_is_not_continued(self) -> None:
        settings = self.settings
        given = [name for name in ("max_seconds", "early_stopping") if getattr(settings, name)]
        if given:
            warnings.warn(
                f"{' and '.join(given)}: not in a continued fit, which makes all epochs it is "
                "asked for",
                stacklevel=4,
            )

    @property
    def can_sample(self) -> bool:
        """Whether it has learned something."""
        return hasattr(self, "_calibration")

    def _describe(self, training: TableTraining, frame: pd.DataFrame) -> None:
        """Give the run what trackers tell and draw."""
        training.run.hyperparameters |= {
            "embedding_dim": self.embedding_dim,
            "generator_dim": list(self.generator_dim),
            "discriminator_dim": list(self.discriminator_dim),
            "pac": self.pac,
            "dropout": self.dropout,
            "target": self.target,
            "rows": len(frame),
            "columns": len(frame.columns),
            "levels": self.layout.levels,
            "device": self._device.type,
            **training.run.about,
        }

        def generate(rows: int, random: torch.Generator) -> pd.DataFrame:
            return self.encoder.decode(self._draw(rows, random, training.preview()))

        training.run.figures = table_figures(training, frame, generate)

    def _fingerprint(
        self, frame: pd.DataFrame, discrete: Iterable[str], ordinal: Iterable[str]
    ) -> dict[str, Any]:
        """All that a training depends on, beside versions and processor."""
        return {
            "table": digest_of(frame),
            "discrete_columns": sorted(map(str, discrete)),
            "ordinal_columns": sorted(map(str, ordinal)),
            "settings": self.settings.plain(),
            "embedding_dim": self.embedding_dim,
            "generator_dim": list(self.generator_dim),
            "discriminator_dim": list(self.discriminator_dim),
            "pac": self.pac,
            "dropout": self.dropout,
            "rounded": self.rounded,
            "target": self.target,
            "random_state": self.random_state,
            "critic": None if self._make_critic is None else _name_of(self._make_critic),
            "device": self._device.type,
        }

    def _check_settings(self) -> None:
        """Refuse what cannot be trained with, before anything is done."""
        if self.settings.batch_size % self.pac:
            raise ValueError(
                f"batch_size ({self.settings.batch_size}) must be a multiple of pac ({self.pac})"
            )
        if self.settings.batch_size < 2:
            raise ValueError("batch_size must be at least 2: the generator normalises batches")
        if self.settings.meta_features:
            self.settings.check_sample_size(self.pac)

    def _held_out_score(self, generator: Generator, score: HeldOutScore, seed: int) -> float:
        """The score of rows made of the same noise every time."""
        random = torch.Generator(self._device).manual_seed(seed)
        return score(self._draw(score.rows, random, generator))

    def _find_target(self) -> Target:
        encoder = self.encoder
        if self.target not in encoder.names:
            raise ValueError(
                f"target {self.target!r} is not a column that is modelled: name one of "
                f"{', '.join(map(str, encoder.names))}"
            )
        for derived in encoder.derived:
            if derived.column.name == self.target:
                classes = torch.from_numpy(derived.codes)
                if derived.column.missing_code is not None:
                    classes = classes.masked_fill(classes == derived.column.missing_code, -1)
                return Target(self.target, derived.source, classes, True)
        names = [column.name for column in encoder.columns]
        column = encoder.columns[names.index(self.target)]
        classes = torch.arange(column.width)
        if column.missing_code is not None:
            classes[column.missing_code] = -1
        return Target(self.target, names.index(self.target), classes, not column.has_positions)

    def new_generator(self, random: torch.Generator) -> Generator:
        """A generator of the fitted layout with random weights, on the CPU."""
        given = given_columns(self.layout, self.settings.conditional_rows(self.pac))
        # PyTorch's layers draw weights from the global generator before they get ours.
        with torch.random.fork_rng(devices=[]):
            return Generator(
                self.embedding_dim,
                self.generator_dim,
                self.layout,
                random,
                CONDITIONED_BLOCKS if len(given) else 0,
            )

    def _critic(self, dense: int, initial: torch.Generator) -> nn.Module:
        """A critic of rows with so many dense channels."""
        if self._make_critic is None:
            return MLPCritic(
                self.layout.levels,
                dense,
                self.discriminator_dim,
                initial,
                self.pac,
                self.dropout,
            )
        critic = self._make_critic(self.pac * (self.layout.levels + dense))
        critic.pac = self.pac
        return critic

    def set_random_state(self, seed: int | None) -> None:
        """Start the random numbers of `sample` anew; None draws a seed."""
        seed = secrets.randbits(63) if seed is None else int(seed)
        self._random = torch.Generator(self._device).manual_seed(seed)

    def native_conditions(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """The part of conditions that `sample` takes; rows have to be filtered for the rest."""
        return native_part(self.encoder, conditions) if self.generator.conditional else {}

    def permutation(self, rows: int) -> np.ndarray:
        """Row numbers in random order, from the random numbers of `sample`."""
        order = torch.randperm(rows, device=self._device, generator=self._random)
        return order.cpu().numpy()

    def sample(self, rows: int, conditions: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Draw rows, columns in the order and dtypes of the training frame.

        Without conditions a sample as large as that frame reaches its extremes
        (`calibration.extremes`).

        Args:
            rows: How many.
            conditions: Values by column; which columns can have some, `native_conditions` tells.
                Every row has them, and the other columns follow their distribution given these;
                no row is rejected. (The first call draws up to `REFERENCE_ROWS` rows for this.)

        Raises:
            ValueError: A column cannot be a condition, a value was not in its training column, or
                values of columns that determine each other contradict; names them.
        """
        if conditions:
            return self.sample_each([(conditions, rows)])
        if self.calibrated:
            table = self._calibration.draw(
                rows, lambda n: self._draw(n, self._random, self.generator), self._random
            )
        else:
            table = self._draw(rows, self._random, self.generator)
        reach_extremes(table, self.encoder, self._random)
        return self.encoder.decode(table)

    def sample_each(self, wanted: Sequence[tuple[Mapping[str, Any], int]]) -> pd.DataFrame:
        """Draw rows under several conditions, together.

        Args:
            wanted: Conditions as of `sample`, and how many rows are to meet each; at least one.

        Returns:
            The rows, in the order of the conditions.

        Raises:
            ValueError: As `sample` does, before any row is drawn.
        """
        if not self.generator.conditional:
            raise ValueError(
                "this model was trained without conditions: fit one with conditional_share > 0, "
                "batch_size of at least twice pac, and a column of categories beside others"
            )
        allowed = [(allowed_codes(self.encoder, given), rows) for given, rows in wanted]
        if self.calibrated and self._conditional_calibration is None:
            self._conditional_calibration = self._calibrate_conditional()
        parts, waiting, made = [], [], 0
        for each in allowed:
            waiting.append(each)
            made += self._made_for(each[1])
            if made >= DRAWN_TOGETHER:
                parts += self._draw_each(waiting)
                waiting, made = [], 0
        if waiting:
            parts += self._draw_each(waiting)
        return self.encoder.decode(EncodedTable.concatenated(parts))

    def _made_for(self, rows: int) -> int:
        return self._conditional_calibration.candidates(rows) if self.calibrated else rows

    def _draw_each(
        self, wanted: Sequence[tuple[dict[int, np.ndarray], int]]
    ) -> list[EncodedTable]:
        """Rows for each of some conditions, from one pass of the generator."""
        counts = [self._made_for(rows) for _, rows in wanted]
        given = [
            self._given(allowed, count) for (allowed, _), count in zip(wanted, counts, strict=True)
        ]
        if len(given) > 1:
            given = [one.expand(count, -1) for one, count in zip(given, counts, strict=True)]
        made = self._draw(sum(counts), self._random, self.generator, torch.cat(given))
        parts, start = [], 0
        for (allowed, rows), count in zip(wanted, counts, strict=True):
            part = made.rows(slice(start, start + count))
            start += count
            if self.calibrated:
                part = self._conditional_calibration.choose(part, rows, allowed, self._random)
            parts.append(part)
        return parts

    def _given(self, allowed: Mapping[int, np.ndarray], rows: int) -> torch.Tensor:
        """Codes that meet a condition, or `FREE`: ``[rows, columns]``, or one row for all."""
        given = torch.full((1, self.layout.columns), FREE)
        # Those with one code first: they say more about the others.
        for column, codes in sorted(allowed.items(), key=lambda item: len(item[1]) > 1):
            codes = torch.from_numpy(codes)
            if len(codes) > 1:
                given = given.expand(rows, -1).clone()
                codes = codes[self._choose(given, column, codes)]
            given[:, column] = codes
        return given

    def _calibrate_conditional(self) -> ConditionalCalibration:
        """From random numbers of its own: those of `sample` go on as if nothing had been drawn."""
        random = torch.Generator(self._device).manual_seed(self._reference_seed)
        return calibrate_conditional(
            self._calibration, lambda rows: self._draw(rows, random, self.generator), random
        )

    @torch.no_grad()
    def _choose(self, given: torch.Tensor, column: int, codes: torch.Tensor) -> torch.Tensor:
        """Which of some codes a column has, given others: places among them, ``[rows]``.

        Without other columns the training frequencies say it exactly; otherwise the generator's
        probabilities, the mean over its noise.
        """
        chosen = torch.empty(len(given), dtype=torch.int64)
        levels = self.layout.offsets[column] + codes
        groups, group_of = given.unique(dim=0, return_inverse=True)
        for index, group in enumerate(groups):
            own = group_of == index
            count = int(own.sum())
            if (group == FREE).all():
                shares = self.layout.frequencies[levels].to(self._device)
            else:
                shares = self._probabilities(group, column, count)[codes.to(self._device)]
            shares = shares.double().clamp_min(1e-30)
            drawn = torch.multinomial(shares, count, True, generator=self._random)
            chosen[own] = drawn.cpu()
        return chosen

    def _probabilities(self, given: torch.Tensor, column: int, rows: int) -> torch.Tensor:
        """Of the codes of a column given some others ``[columns]``, for about so many rows."""
        least, most = PROBED_ROWS
        probed = min(max(rows, least), most)
        with matmul_precision(self.settings.precision):
            passes = self._sampling_pass(self.generator)
            noise, _ = self.generator.draw(probed, self._random)
            return passes.probabilities(noise, column, self._conditions(given[None]))

    def _conditions(self, given: torch.Tensor) -> Conditions:
        """Codes as of `_given`, as the generator reads them."""
        given = given.to(self._device)
        fixed = given != FREE
        levels = torch.where(fixed, given, 0) + self.layout.offsets[:-1].to(self._device)
        return Conditions(levels, fixed)

    def _sampling_pass(self, generator: Generator) -> SamplingPass:
        offsets = self.layout.offsets.to(self._device)
        return SamplingPass(generator, offsets, uses_bfloat16(self._device))

    @torch.no_grad()
    def _draw(
        self,
        rows: int,
        random: torch.Generator,
        generator: Generator,
        given: torch.Tensor | None = None,
    ) -> EncodedTable:
        """Rows as a generator gives them, with given codes as of `_given`."""
        offsets = self.layout.offsets.to(self._device)
        codes = torch.empty(rows, self.layout.columns, dtype=torch.int32)
        positions = torch.empty(rows, len(self.layout.positioned))
        with matmul_precision(self.settings.precision):
            passes = self._sampling_pass(generator)
            for start in range(0, rows, CHUNK_ROWS):
                part = slice(start, min(start + CHUNK_ROWS, rows))
                count = part.stop - part.start
                noise = generator.draw(count, random)
                uniforms = torch.rand(
                    count, self.layout.columns, device=self._device, generator=random
                )
                conditions = None
                if given is not None:
                    conditions = self._conditions(given if len(given) == 1 else given[part])
                levels, inside = passes.draw(*noise, uniforms, conditions)
                codes[part] = levels.sub_(offsets[:-1]).cpu()
                positions[part] = inside.cpu()
        return EncodedTable(codes, positions)

    def _calibrate(self, table: EncodedTable, random: torch.Generator) -> None:
        """Prepare calibrated sampling, so that ``calibrated`` can be switched later."""
        self._calibration = self._calibration_of(self.generator, table, random)
        if self.calibrated:
            self._warn_of_distance()

    def _warn_of_distance(self) -> None:
        distances = self._calibration.distances
        far = sorted((-d, i) for i, d in enumerate(distances) if d > FAR)
        if far:
            listed = [f"{self.encoder.columns[i].name!r} ({-d:.2f})" for d, i in far[:NAMED]]
            if len(far) > NAMED:
                listed.append(f"and {len(far) - NAMED} more")
            warnings.warn(
                "the generator makes some values too seldom for calibration to give these columns "
                f"their training distribution: {', '.join(listed)} (total variation, at best 0, "
                "at worst 1). Fit again: with more epochs or seconds if there were few, otherwise "
                "with another random_state or lower learning rates",
                stacklevel=5,
            )

    def _calibration_of(
        self, generator: Generator, table: EncodedTable, random: torch.Generator, share: float = 1
    ) -> Calibration:
        return calibrate(
            table,
            self.encoder,
            lambda rows: self._draw(rows, random, generator),
            random,
            share,
        )

    def _rehearse(
        self, generator: Generator, table: EncodedTable, stopping: EarlyStopping | None
    ) -> float:
        """Seconds that what follows the training will take."""
        started = time.perf_counter()
        random = torch.Generator(self._device).manual_seed(0)
        self._calibration_of(generator, table, random, 1 / REHEARSED_PART)
        calibrated = time.perf_counter()
        if stopping is not None:
            stopping.score(generator)
        calibration = REHEARSAL_MARGIN * REHEARSED_PART * (calibrated - started)
        return calibration + time.perf_counter() - calibrated

    def __getstate__(self) -> dict:
        # It is made again when it is needed.
        state = self.__dict__ | {"_conditional_calibration": None, "_players": None}
        if "generator" in state:
            # `to` would move the module itself.
            state["generator"] = copy.deepcopy(self.generator).to("cpu")
            state["_random"] = (self._device.type, self._random.get_state())
        # A function of the caller's; only another `fit` would need it.
        state["_make_critic"] = None if self._make_critic is None else _forgotten_critic
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update({"_players": None} | state)
        self._device = _device(self._enable_gpu)
        if "generator" not in state:
            return
        self.generator.to(self._device)
        kind, random_state = state["_random"]
        self._random = torch.Generator(self._device)
        if kind == self._device.type:
            self._random.set_state(random_state)
        else:  # another device's generator: begin anew, the same way every time
            self._random.manual_seed(0)


def _preview_of(training: TableTraining) -> Callable[[], Generator]:
    """`TableTraining.preview`, for those that its run will know of: they do not hold it, as in a
    circle the rows and the players would outlive the fit."""
    preview = weakref.WeakMethod(training.preview)
    return lambda: preview()()


def _forgotten_critic(width: int) -> nn.Module:
    raise RuntimeError(
        "the critic of this model was not saved with it: to fit it again, make a new TabularModel "
        "with critic=..."
    )


def _name_of(function: Callable) -> str:
    """The same in every process, unlike its address."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _device(enable_gpu: bool) -> torch.device:
    return torch.device("cuda" if enable_gpu and torch.cuda.is_available() else "cpu")


__all__ = ["EpochLog", "NonFiniteLossError", "TabularModel"]
