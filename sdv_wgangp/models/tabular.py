"""A tabular WGAN-GP: encoding, networks, objectives and training, put together."""

from __future__ import annotations

import copy
import logging
import secrets
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.calibration import (
    POSITION_ROWS,
    PositionMap,
    calibrate_logits,
    pool_rows,
)
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.ops import column_sample
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.trainer import EpochLog, NonFiniteLossError, Trainer

logger = logging.getLogger(__name__)
WHITENING_ROWS = 50_000
SAMPLE_ROWS = 2**13


class TabularModel:
    """Learns the joint distribution of a frame's columns and draws new rows from it.

    Args:
        settings: Hyperparameters of the training.
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        pac: Rows that the critic judges together.
        dropout: Of the critic's hidden layers.
        calibrate: Whether samples are calibrated to the training marginals. The uncalibrated
            generator is kept too: set ``calibrated`` to False to draw from it.
        enable_gpu: Use CUDA where there is one.
        random_state: Seed of the fit; None draws one.
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
        calibrate: bool = True,
        enable_gpu: bool = True,
        random_state: int | None = None,
        critic: Callable[[int], nn.Module] | None = None,
    ):
        self.settings = settings or TrainingSettings()
        self.embedding_dim = embedding_dim
        self.generator_dim = tuple(generator_dim)
        self.discriminator_dim = tuple(discriminator_dim)
        self.pac = pac
        self.dropout = dropout
        self.calibrated = calibrate
        self._enable_gpu = enable_gpu
        self.random_state = random_state
        self._make_critic = critic
        self._device = _device(enable_gpu)
        self._random: torch.Generator | None = None
        self.logs: list[EpochLog] = []

    def fit(
        self,
        frame: pd.DataFrame,
        discrete_columns: Iterable[str] = (),
        ordinal_columns: Iterable[str] = (),
        callbacks: tuple[Callable[[EpochLog], None], ...] = (),
    ) -> TabularModel:
        """Learn from a frame.

        Args:
            frame: Training rows; missing values are learned as values of their own.
            discrete_columns: Columns to treat as categories whatever their dtype.
            ordinal_columns: Columns with a fixed set of values, ordered where these are numbers.
            callbacks: Called with an `EpochLog` after every epoch.

        Raises:
            ValueError: The frame or a setting does not fit; names it, before training starts.
            NonFiniteLossError: Training diverged. The model can be sampled all the same: it is
                what it was after the last epoch with finite losses.
        """
        if self.settings.batch_size % self.pac:
            raise ValueError(
                f"batch_size ({self.settings.batch_size}) must be a multiple of pac ({self.pac})"
            )
        seed = secrets.randbits(63) if self.random_state is None else self.random_state
        numpy_seed, torch_seed, sample_seed = np.random.SeedSequence(seed).generate_state(
            3, np.uint64
        )
        self.encoder = TableEncoder(discrete_columns, ordinal_columns).fit(frame)
        table = self.encoder.encode(frame, np.random.default_rng(numpy_seed))
        self.layout = Layout.of(self.encoder)
        initial = torch.Generator().manual_seed(int(torch_seed >> np.uint64(1)))
        random = torch.Generator(self._device).manual_seed(int(torch_seed >> np.uint64(1)))
        self.set_random_state(int(sample_seed >> np.uint64(1)))

        views = Views(self.layout)
        part = slice(0, WHITENING_ROWS)
        views.fit_whitening(self.layout.level_index(table)[part], table.positions[part])
        # Layers draw their first weights from the global generator, which is not ours to move.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            generator = Generator(self.embedding_dim, self.generator_dim, self.layout, initial)
            critic = self._critic(views, initial)
        trainer = Trainer(
            generator.to(self._device),
            critic.to(self._device),
            views.to(self._device),
            self.layout,
            self.settings,
            random,
        )
        try:
            trainer.fit(table, callbacks)
        finally:
            self.logs = trainer.logs
            self.generator = trainer.settle()
            self._calibrate(random)
        return self

    def _critic(self, views: Views, initial: torch.Generator) -> nn.Module:
        if self._make_critic is None:
            return MLPCritic(
                self.layout.levels,
                views.width,
                self.discriminator_dim,
                initial,
                self.pac,
                self.dropout,
            )
        critic = self._make_critic(self.pac * (self.layout.levels + views.width))
        critic.pac = self.pac
        return critic

    def set_random_state(self, seed: int) -> None:
        """Start the random numbers of `sample` anew."""
        self._random = torch.Generator(self._device).manual_seed(int(seed))

    def sample(self, rows: int) -> pd.DataFrame:
        """Draw rows, columns in the order and dtypes of the training frame."""
        return self.encoder.decode(self._draw(rows, self._random, self.calibrated))

    @torch.no_grad()
    def _draw(self, rows: int, random: torch.Generator, calibrated: bool) -> EncodedTable:
        offsets = self.layout.offsets.to(self._device)
        bias = self._calibrated_bias if calibrated else self._trained_bias
        self.generator.logits.bias.copy_(bias)
        codes = torch.empty(rows, self.layout.columns, dtype=torch.int32)
        positions = torch.empty(rows, len(self.layout.positioned))
        with matmul_precision(self.settings.precision):
            for start in range(0, rows, SAMPLE_ROWS):
                part = slice(start, min(start + SAMPLE_ROWS, rows))
                count = part.stop - part.start
                logits, inside = self.generator(*self.generator.draw(count, random))
                uniforms = torch.rand(
                    count, self.layout.columns, device=self._device, generator=random
                )
                codes[part] = column_sample(logits, uniforms, offsets).cpu().int()
                positions[part] = inside.cpu()
        table = EncodedTable(codes, positions)
        if calibrated and self._position_map is not None:
            self._position_map.apply(table)
        return table

    @torch.no_grad()
    def _calibrate(self, random: torch.Generator) -> None:
        head = self.generator.logits
        self._trained_bias = head.bias.clone()
        with matmul_precision(self.settings.precision):
            rows = pool_rows(self.layout)
            features = torch.cat(
                [
                    self.generator.body(
                        self.generator.draw(min(SAMPLE_ROWS, rows - start), random)[0]
                    )
                    for start in range(0, rows, SAMPLE_ROWS)
                ]
            )
            calibrate_logits(features, head, self.layout)
        self._calibrated_bias = head.bias.clone()
        self._position_map = None
        if len(self.layout.positioned):
            pool = self._draw_unmapped(POSITION_ROWS, random)
            self._position_map = PositionMap(pool, self.layout)

    def _draw_unmapped(self, rows: int, random: torch.Generator) -> EncodedTable:
        """Rows with calibrated codes and the generator's own positions."""
        self._position_map = None
        return self._draw(rows, random, calibrated=True)

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        for name in ("_calibrated_bias", "_trained_bias"):
            if name in state:
                state[name] = state[name].cpu()
        if "generator" in state:
            # `to` would move the module itself.
            state["generator"] = copy.deepcopy(state["generator"]).to("cpu")
        state["_random"] = None
        state["_make_critic"] = None
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._device = _device(self._enable_gpu)
        if hasattr(self, "generator"):
            self.generator.to(self._device)
            self._calibrated_bias = self._calibrated_bias.to(self._device)
            self._trained_bias = self._trained_bias.to(self._device)
        self.set_random_state(secrets.randbits(63))


def _device(enable_gpu: bool) -> torch.device:
    return torch.device("cuda" if enable_gpu and torch.cuda.is_available() else "cpu")


__all__ = ["EpochLog", "NonFiniteLossError", "TabularModel"]
