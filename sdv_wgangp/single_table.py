"""`WGANGPMFSSynthesizer`: the tabular model as a synthesizer of SDV."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import ClassVar

import pandas as pd
import plotly.express as px
from rdt.transformers import UnixTimestampEncoder
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.single_table.base import BaseSingleTableSynthesizer
from sdv.single_table.utils import detect_discrete_columns

from sdv_wgangp import sdv_versions
from sdv_wgangp.models.tabular import NonFiniteLossError, TabularModel
from sdv_wgangp.objectives.meta_features import check_meta_features
from sdv_wgangp.persistence import Saved
from sdv_wgangp.training.progress import ProgressBar
from sdv_wgangp.training.settings import TrainingSettings

LOSS_COLUMNS = ["Epoch", "Generator Loss", "Discriminator Loss"]


def _is_whole(value, least: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


class WGANGPMFSSynthesizer(Saved, BaseSingleTableSynthesizer):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) for single tables.

    A drop-in for `CTGANSynthesizer`: the parameters they share have CTGAN's names, and every
    method of SDV's single-table synthesizers works as documented there. Missing values are
    learned jointly with the other columns.

    Args:
        metadata: SDV metadata of the one table.
        enforce_min_max_values: Clip numbers to the range of the training table.
        enforce_rounding: Round numbers as in the training table.
        locales: Locales of the anonymised columns.
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        generator_lr, discriminator_lr: Adam's learning rates; constant for half of the training,
            then falling linearly to 0.
        generator_decay, discriminator_decay: L2 penalties on the weights.
        batch_size: Rows in a step; a multiple of ``pac``.
        discriminator_steps: Critic steps for each generator step.
        log_frequency: Kept so that CTGAN's arguments fit. CTGAN draws the categories it trains
            on by (log) frequency; here rows are drawn as they are, and nothing depends on it.
        verbose: Show a progress bar with losses and rows per second.
        epochs: An epoch has ``rows // batch_size`` generator steps, at least 40, and
            ``discriminator_steps`` times as many critic steps.
        pac: Rows that the critic judges together (Lin et al. 2018). With a gradient penalty 1
            is best.
        enable_gpu: Train and sample on CUDA where there is a device.
        gradient_penalty_weight: Lambda, the weight of the gradient penalty.
        meta_features: Names of statistics of the training table that the generator is made to
            match (`sdv_wgangp.objectives.meta_features`), like ``["mean", "cor"]``; None for none.
        meta_feature_weight: Factor of their loss.
        ema_decay: Decay of the moving average of the generator's weights, in [0, 1).
        calibrate: Bring samples to the marginals of the training table: select generated rows
            (raking), then map numeric columns by rank.
        random_state: Seed of the fit; None draws one. Sampling repeats after `reset_sampling`.

    Raises:
        SynthesizerInputError: A parameter is out of range; names it and the range.
    """

    _model_sdtype_transformers: ClassVar[dict] = {
        "numerical": None,
        "categorical": None,
        "boolean": None,
        "ordinal": None,
    }

    def __init__(
        self,
        metadata,
        enforce_min_max_values: bool = True,
        enforce_rounding: bool = True,
        locales: Sequence[str] | str | None = ("en_US",),
        embedding_dim: int = 128,
        generator_dim: Sequence[int] = (256, 256),
        discriminator_dim: Sequence[int] = (256, 256),
        generator_lr: float = 5e-4,
        generator_decay: float = 1e-6,
        discriminator_lr: float = 1e-3,
        discriminator_decay: float = 1e-6,
        batch_size: int = 500,
        discriminator_steps: int = 2,
        log_frequency: bool = True,
        verbose: bool = False,
        epochs: int = 200,
        pac: int = 1,
        enable_gpu: bool = True,
        gradient_penalty_weight: float = 10.0,
        meta_features: Sequence[str] | None = None,
        meta_feature_weight: float = 1.0,
        ema_decay: float = 0.999,
        calibrate: bool = True,
        random_state: int | None = None,
    ):
        # SDV's transformers keep the list itself.
        locales = list(locales) if isinstance(locales, tuple) else locales
        super().__init__(
            metadata=metadata,
            enforce_min_max_values=enforce_min_max_values,
            enforce_rounding=enforce_rounding,
            locales=locales,
        )
        self.embedding_dim = embedding_dim
        self.generator_dim = generator_dim
        self.discriminator_dim = discriminator_dim
        self.generator_lr = generator_lr
        self.generator_decay = generator_decay
        self.discriminator_lr = discriminator_lr
        self.discriminator_decay = discriminator_decay
        self.batch_size = batch_size
        self.discriminator_steps = discriminator_steps
        self.log_frequency = log_frequency
        self.verbose = verbose
        self.epochs = epochs
        self.pac = pac
        self.enable_gpu = enable_gpu
        self.gradient_penalty_weight = gradient_penalty_weight
        self.meta_features = meta_features
        self.meta_feature_weight = meta_feature_weight
        self.ema_decay = ema_decay
        self.calibrate = calibrate
        self.random_state = random_state
        self._check_parameters()

    def _check_parameters(self) -> None:
        """Refuse what cannot be trained with, by name and with the range."""
        whole = {
            "embedding_dim": 1,
            "batch_size": 2,
            "discriminator_steps": 1,
            "epochs": 0,
            "pac": 1,
        }
        for name, least in whole.items():
            value = getattr(self, name)
            if not _is_whole(value, least):
                raise SynthesizerInputError(
                    f"{name} must be a whole number of at least {least}, not {value!r}."
                )
        if self.batch_size % self.pac:
            raise SynthesizerInputError(
                f"batch_size must be a multiple of pac: {self.batch_size} is none of {self.pac}."
            )
        for name in ("generator_dim", "discriminator_dim"):
            widths = getattr(self, name)
            listed = isinstance(widths, Sequence) and not isinstance(widths, str)
            if not listed or not widths or not all(_is_whole(width, 1) for width in widths):
                raise SynthesizerInputError(
                    f"{name} must list the widths of at least one layer, like (256, 256), "
                    f"not {widths!r}."
                )
        for name in (
            "generator_lr",
            "discriminator_lr",
            "generator_decay",
            "discriminator_decay",
            "gradient_penalty_weight",
            "meta_feature_weight",
        ):
            value = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise SynthesizerInputError(
                    f"{name} must be a finite number of at least 0, not {value!r}."
                )
        for name in ("log_frequency", "verbose", "enable_gpu", "calibrate"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise SynthesizerInputError(f"{name} must be True or False, not {value!r}.")
        seed = self.random_state
        if seed is not None and not _is_whole(seed, 0):
            raise SynthesizerInputError(
                f"random_state must be None or a whole number of at least 0, not {seed!r}."
            )
        if not _is_number(self.ema_decay) or not 0 <= self.ema_decay < 1:
            raise SynthesizerInputError(
                f"ema_decay must be in [0, 1), not {self.ema_decay!r}; 0 switches it off."
            )
        names = self.meta_features
        if names is not None and not isinstance(names, Sequence):
            raise SynthesizerInputError(
                f"meta_features must be None or a list of names, not {names!r}."
            )
        try:
            check_meta_features(names or ())
        except ValueError as error:
            raise SynthesizerInputError(f"{error}.") from error

    def _update_default_transformers(self) -> None:
        """Let numbers through as they are and missing values with them.

        The model learns both; RDT's formatter would turn integers beyond 2**53 into floats and
        put missing values back at random. SDV itself clips and rounds the samples.
        """
        super()._update_default_transformers()
        self._data_processor._update_transformers_by_sdtypes(
            "datetime",
            UnixTimestampEncoder(
                missing_value_replacement=None,
                missing_value_generation=None,
                enforce_min_max_values=self.enforce_min_max_values,
            ),
        )

    def validate(self, data) -> None:
        with sdv_versions.keeping_numpy_state():
            super().validate(data)

    def add_constraints(self, constraints) -> None:
        super().add_constraints(constraints)
        # SDV builds a new data processor here and forgets the transformers of the model.
        self._update_default_transformers()

    def _fit(self, processed_data: pd.DataFrame) -> None:
        transformers = self._data_processor._hyper_transformer.field_transformers
        discrete = detect_discrete_columns(self.metadata, processed_data, transformers)
        sdtypes = self._data_processor.get_sdtypes()
        ordinal = [name for name in discrete if sdtypes.get(name) == "ordinal"]
        self._model = TabularModel(
            TrainingSettings(
                epochs=self.epochs,
                batch_size=self.batch_size,
                discriminator_steps=self.discriminator_steps,
                generator_lr=self.generator_lr,
                discriminator_lr=self.discriminator_lr,
                generator_decay=self.generator_decay,
                discriminator_decay=self.discriminator_decay,
                gradient_penalty_weight=self.gradient_penalty_weight,
                ema_decay=self.ema_decay,
                meta_features=check_meta_features(self.meta_features or ()),
                meta_feature_weight=self.meta_feature_weight,
            ),
            embedding_dim=self.embedding_dim,
            generator_dim=tuple(self.generator_dim),
            discriminator_dim=tuple(self.discriminator_dim),
            pac=self.pac,
            calibrate=self.calibrate,
            enable_gpu=self.enable_gpu,
            random_state=self.random_state,
        )
        with ProgressBar(self.epochs, disable=not self.verbose) as progress:
            try:
                self._model.fit(
                    processed_data,
                    discrete_columns=[name for name in discrete if name not in ordinal],
                    ordinal_columns=ordinal,
                    callbacks=(progress,),
                )
            except NonFiniteLossError:
                # The model holds the last good weights: let it be sampled and saved. Of a frame
                # without rows SDV only notes that the synthesizer was fitted, when and with what.
                nothing = sdv_versions.as_fit_input(self.metadata, processed_data.head(0))
                super().fit_processed_data(nothing)
                raise

    def _sample(self, num_rows: int, conditions: dict | None = None) -> pd.DataFrame:
        if conditions is not None:
            # SDV then draws rows until enough of them meet the conditions.
            raise NotImplementedError("native conditional sampling")
        return self._model.sample(num_rows)

    def get_loss_values(self) -> pd.DataFrame:
        """Mean losses of every epoch: columns Epoch, Generator Loss, Discriminator Loss.

        Raises:
            NotFittedError: Before `fit`.
        """
        if not self._fitted:
            raise NotFittedError("There are no loss values before the synthesizer is fitted.")
        if self._model is None:  # a table of keys and anonymised columns only
            return pd.DataFrame(columns=LOSS_COLUMNS)
        return pd.DataFrame(
            [(log.epoch, log.generator_loss, log.discriminator_loss) for log in self._model.logs],
            columns=LOSS_COLUMNS,
        )

    def get_loss_values_plot(self, title: str = "WGAN-GP losses"):
        """Loss curves as a plotly figure.

        Raises:
            NotFittedError: Before `fit`.
        """
        losses = self.get_loss_values()
        figure = px.line(losses, x="Epoch", y=LOSS_COLUMNS[1:])
        figure.update_layout(
            title=title, template="plotly_white", legend_title_text="", yaxis_title="Loss"
        )
        return figure
