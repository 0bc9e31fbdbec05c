"""A tabular WGAN-GP: encoding, networks, objectives and training, put together."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sdv_wgangp.calibration.options import DEFAULT as CALIBRATION
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.options import DEFAULT as ENCODING
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models import fitting, time_limit
from sdv_wgangp.models.architecture import Architecture, new_training
from sdv_wgangp.models.table_figures import table_figures
from sdv_wgangp.models.table_sampling import TableSampling
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.models.target import target_of
from sdv_wgangp.models.warn import warn_of_cost, warn_of_what_is_not_continued
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.ops import uses_bfloat16
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.callbacks.rest import Rest
from sdv_wgangp.training.log import EpochLog, NonFiniteLossError
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.validation import EarlyStopping, held_out_rows
from sdv_wgangp.training.watchers import check_callbacks, tell_stage

logger = logging.getLogger(__name__)


class TabularModel(TableSampling):
    """Learns the joint distribution of a frame's columns and draws new rows from it.

    Args:
        settings: Hyperparameters of the training.
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        pac: Rows that the critic scores together.
        dropout: Of the critic's hidden layers, in the critic's steps.
        rounded: Whether sampled numbers have no more decimals than those of their training column.
        calibrate: Whether samples are calibrated to the training marginals. Either way the
            calibration is prepared: set ``calibrated`` to switch later.
        enable_gpu: Use CUDA where there is one.
        random_state: Seed of the fit; None draws one.
        target: Column that meta-features like "gravity" relate the others to.
        critic: Makes another critic: called with the width of a packed one-hot row, returns a
            module from rows ``[n, width]`` to scores ``[n]``.
        relations: Exact relations between columns that rows keep (`TableEncoder`).
        encoding_options: Hyper-parameters of the encoding.
        calibration_options: Those of the calibration.

    Attributes:
        logs: One `EpochLog` for each epoch.
        calibrated: Whether `sample` applies the calibration.
    """

    # Of models that were fitted before there were others.
    encoding_options: EncodingOptions = ENCODING
    # The settings as they were given: what is "auto" in them each `fit` decides anew.
    _asked: TrainingSettings | None = None
    relations: str | tuple[str, ...] = "off"

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
        relations: str | Sequence[str] = "off",
        encoding_options: EncodingOptions = ENCODING,
        calibration_options: CalibrationOptions = CALIBRATION,
    ):
        super().__init__(
            settings or TrainingSettings(),
            calibrate=calibrate,
            enable_gpu=enable_gpu,
            calibration_options=calibration_options,
        )
        self._asked = self.settings
        self.embedding_dim = embedding_dim
        self.generator_dim = tuple(generator_dim)
        self.discriminator_dim = tuple(discriminator_dim)
        self.pac = pac
        self.dropout = dropout
        self.rounded = rounded
        self.relations = relations if isinstance(relations, str) else tuple(relations)
        self.encoding_options = encoding_options
        self.random_state = random_state
        self.target = target
        self._make_critic = critic
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
        started: float | None = None,
        date_columns: Iterable[str] = (),
    ) -> TabularModel:
        """Learn from a frame.

        ``max_seconds`` of the settings covers all of this method, and what came before it since
        ``started``. The time for calibration (and the last check of early stopping) is estimated
        before training by doing a part of it with the untrained generator, and kept free; the fit
        ends about when it should, not exactly. Where hardly any time is left for the training, it
        has a tenth of ``max_seconds``, and a warning says so. Where time is too short for all
        epochs, the number of steps depends on the machine, so the fit is not reproducible.

        With ``early_stopping`` rows are held out from the critic and from the calibration: what
        chooses when to stop must not be what samples are fitted to. They count in the encoding.

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
            started: When the work on this table began, by `time.perf_counter`; None for now.
            date_columns: Columns of nanoseconds since 1970: relations take them for dates.

        Raises:
            ValueError: The frame or a setting does not fit (too few rows to hold out); names it,
                before training starts.
            CheckpointMismatchError: A checkpoint is of another table, of other settings or
                versions; names what differs, before training starts.
            NonFiniteLossError: Training diverged. The model can be sampled all the same: it is
                what it was before.
            Exception: What a callback raised, after the fit: the model can be sampled, too.
        """
        started = time.perf_counter() if started is None else started
        if resume and checkpoints is None:
            raise ValueError("there is nothing to resume from: give checkpoints")
        callbacks = check_callbacks(callbacks)
        discrete_columns, ordinal_columns = tuple(discrete_columns), tuple(ordinal_columns)
        self._conditional_calibration = None
        self.settings = (self._asked or self.settings).for_rows(len(frame), self.pac)
        fitting.check_settings(self.settings, self.pac)
        held_out_count = 0
        if self.settings.early_stopping:
            held_out_count = held_out_rows(len(frame), self.settings.validation_fraction)
        tell_stage(callbacks, "encoding")
        # What was learned before does not fit what is to come.
        self.__dict__.pop("_calibration", None)
        saved = None
        if checkpoints is not None:
            fingerprint = self._fingerprint(frame, discrete_columns, ordinal_columns)
            saved = fitting.prepare_checkpoints(
                checkpoints, fingerprint, self._any_threads(), resume
            )
        seed = self.random_state
        if saved is not None:
            seed = saved["about"]["seed"]
        elif seed is None:
            seed = secrets.randbits(63)
        seeds = fitting.Seeds.of(seed)
        self._reference_seed = seeds.reference
        self.encoder = TableEncoder(
            discrete_columns,
            ordinal_columns,
            self.rounded,
            self.encoding_options,
            self.relations,
            [] if self.target is None else [self.target],
            date_columns,
        ).fit(frame)
        table = self.encoder.encode(frame, np.random.default_rng(seeds.encoding))
        self.layout = Layout.of(self.encoder)
        warn_of_cost(self.encoder, self.layout, len(frame), self.settings)
        self.set_random_state(seeds.sampling)
        trained, held_out = table, None
        if held_out_count:
            held_out, trained = fitting.hold_out(table, held_out_count, seeds.held_out)
        training = self._new_training(frame, table, seed, seeds, trained=trained)
        self.logs = training.run.logs
        watching, stopping = list(callbacks), None
        if checkpoints is not None:
            watching.append(checkpoints)
        if saved is not None:
            training.run.load_state_dict(saved)
        if held_out is not None:
            stopping = fitting.early_stopping(
                training, held_out, self.layout, seeds.held_out, self._sampler, callbacks
            )
            watching.insert(0, stopping)
        if self.settings.max_seconds is not None:
            limit = self.settings.max_seconds
            ending = time_limit.rehearse(
                *(training, trained, self.encoder, self._sampler, stopping, limit),
                self.calibration_options,
            )
            watching.insert(0, time_limit.deadline(started, limit, ending))
        self._train(training, trained, watching, stopping, self.settings.epochs)
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
        learned = training.result() if best is None else best
        assert isinstance(learned, Generator)
        self.generator = learned
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
        fitting.check_settings(self.settings, self.pac)
        tell_stage(callbacks, "encoding")
        self.encoder.check_same_kind(frame)
        seed = int(torch.randint(2**62, (), device=self._device, generator=self._random))
        seeds = fitting.Seeds.of(seed)
        table = self.encoder.encode(frame, np.random.default_rng(seeds.encoding))
        warn_of_what_is_not_continued(self.settings)
        weights = self.generator.state_dict()
        training = self._new_training(frame, table, seed, seeds, weights=weights)
        training.continues(self.logs, epochs)
        watching = list(callbacks)
        if self._players is None:
            watching.insert(0, Rest("generator", training.source.steps_per_epoch * epochs // 10))
        else:
            training.load_players_state(self._players)
        self._conditional_calibration = None
        self._train(training, table, watching, None, len(self.logs) + epochs)
        return self

    def _new_training(
        self,
        frame: pd.DataFrame,
        table: EncodedTable,
        seed: int,
        seeds: fitting.Seeds,
        trained: EncodedTable | None = None,
        weights: Mapping[str, Any] | None = None,
    ) -> TableTraining:
        """A training (`new_training`) that knows what trackers tell and draw."""
        training = new_training(
            self._architecture,
            self.layout,
            self.settings,
            table,
            torch.Generator(self._device).manual_seed(seeds.training),
            seeds.weights,
            trained=trained,
            weights=weights,
            target=target_of(self.encoder, self.target),
            about={"seed": seed},
        )
        training.run.hyperparameters |= {
            **self._architecture.plain(),
            "encoding_options": self.encoding_options.changed(),
            "calibration_options": self.calibration_options.changed(),
            "relations": self.relations,
            "target": self.target,
            "rows": len(frame),
            "columns": len(frame.columns),
            "levels": self.layout.levels,
            "device": self._device.type,
            **training.run.about,
        }

        def generate(rows: int, random: torch.Generator) -> pd.DataFrame:
            return self.encoder.decode(self._sampler(training.preview()).draw(rows, random))

        training.run.figures = table_figures(training, frame, generate)
        return training

    def _any_threads(self) -> bool:
        """PyTorch's float32 products depend on the threads, those in bfloat16 do not."""
        with matmul_precision(self.settings.precision):
            return uses_bfloat16(self._device) and self._make_critic is None

    @property
    def _architecture(self) -> Architecture:
        return Architecture(
            self.embedding_dim,
            self.generator_dim,
            self.discriminator_dim,
            self.pac,
            self.dropout,
            self._make_critic,
        )

    def new_generator(self, random: torch.Generator) -> Generator:
        """A generator of the fitted layout with random weights, on the CPU."""
        return self._architecture.new_generator(self.layout, self.settings, random)

    def _fingerprint(
        self, frame: pd.DataFrame, discrete: Iterable[str], ordinal: Iterable[str]
    ) -> dict[str, Any]:
        """All that a training depends on, beside versions and processor."""
        return {
            **fitting.table_fingerprint(frame, discrete, ordinal),
            "settings": self.settings,
            **self._architecture.plain(),
            "rounded": self.rounded,
            "relations": self.relations,
            "encoding_options": self.encoding_options.changed(),
            "target": self.target,
            "random_state": self.random_state,
            "critic": fitting.name_of(self._make_critic),
            "device": self._device.type,
        }

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() | {"_players": None}
        state.pop("_asked", None)  # only another `fit` would need it
        # A function of the caller's; only another `fit` would need it.
        state["_make_critic"] = None if self._make_critic is None else _forgotten_critic
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_players": None} | state)


def _forgotten_critic(width: int) -> nn.Module:
    raise RuntimeError(
        "the critic of this model was not saved with it: to fit it again, make a new TabularModel "
        "with critic=..."
    )


__all__ = ["EpochLog", "NonFiniteLossError", "TabularModel"]
