"""`WGANGPMFSSynthesizer`: the tabular model as a synthesizer of SDV."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar

import pandas as pd
import plotly.express as px
from sdv.errors import InvalidDataError, NotFittedError, SynthesizerInputError
from sdv.single_table.base import BaseSingleTableSynthesizer
from sdv.single_table.utils import detect_discrete_columns

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.models.tabular import EpochLog, TabularModel
from sdv_wgangp.parameters import (
    LATER_PARAMETERS,
    PARAMETERS,
    Whole,
    check_together,
    check_values,
)
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.conditional_sampling import ConditionalSampling
from sdv_wgangp.synthesizers.saved_classes import register
from sdv_wgangp.synthesizers.saving import Saved
from sdv_wgangp.synthesizers.seeding import OF_THE_PROCESS, SeededTable
from sdv_wgangp.synthesizers.transformers import (
    TimestampEncoder,
    far_dates,
    impossible_columns,
    in_stable_dtypes,
    readable,
    replace_formatters,
    unreadable_columns,
)
from sdv_wgangp.synthesizers.watched import WATCHING, Watched
from sdv_wgangp.training.callbacks.progress import ProgressBar
from sdv_wgangp.training.settings import TrainingSettings

LOSS_COLUMNS = ["Epoch", "Generator Loss", "Discriminator Loss"]
TERM_COLUMNS = [
    "Epoch",
    "Adversarial",
    "Meta-Features",
    "Conditional",
    "Wasserstein",
    "Gradient Penalty",
]
SCORE_COLUMNS = ["Epoch", "Score"]


class WGANGPMFSSynthesizer(
    Watched, SeededTable, Saved, ConditionalSampling, BaseSingleTableSynthesizer
):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) for single tables.

    A drop-in for `CTGANSynthesizer`: the parameters they share have CTGAN's names, and every
    method of SDV's single-table synthesizers works as documented there. Missing values are
    learned jointly with the other columns.

    Args:
        metadata: SDV metadata of the one table.
        enforce_min_max_values: Clip numbers to the range of the training table. (The model itself
            gives none beyond it; so this matters for what constraints and transformers make.)
        enforce_rounding: Round numbers to as many decimals as they have in the training table.
            Without it, values of columns with decimals may have any; those that many rows of the
            training table share come back as they are.
        locales: Locales of the anonymised columns.
        embedding_dim: Width of the generator's noise.
        generator_dim: Widths of the generator's residual blocks.
        discriminator_dim: Widths of the critic's hidden layers.
        generator_lr, discriminator_lr: Adam's learning rates; constant for half of the training,
            then falling linearly to 0.
        generator_decay, discriminator_decay: L2 penalties on the weights.
        batch_size: Rows in a step; a multiple of ``pac``. "auto" is 250 up to 8,000 rows
            and 500 from 17,000 rows on.
        discriminator_steps: Critic steps for each generator step.
        log_frequency: Draw the values that are learned as conditions by the logarithm of their
            frequency, so that rare ones are met often; otherwise by frequency. Rows without
            conditions are trained on as they are, so samples are not biased, as CTGAN's are.
        verbose: Show a progress bar with losses and rows per second.
        epochs: An epoch has ``rows // batch_size`` generator steps, at least 120, and
            ``discriminator_steps`` times as many critic steps. "auto" makes 1,200 generator
            steps and one more for every second row, at most 6,000, but at least one epoch
            (`sdv_wgangp.training.by_rows`): small tables are learned by heart in more.
        pac: Rows that the critic judges together (Lin et al. 2018). With a gradient penalty 1
            is best.
        enable_gpu: Train and sample on CUDA where there is a device.
        gradient_penalty_weight: Lambda, the weight of the gradient penalty.
        meta_features: Names of statistics of the training table that the generator is made to
            match (`sdv_wgangp.objectives.meta_features`), like ``["mean", "cor"]``. A number
            counts as its rank, from 0 to 1, a missing one as 0.5. "auto" is for means, variances
            and covariances, frequencies of levels and joint frequencies of pairs of columns,
            whichever the table has; None for vanilla training without any.
        meta_feature_weight: Factor of their losses, or a dictionary with one for each name.
        meta_feature_distance: How generated statistics are compared with real ones: "tracked"
            (by a moving average), "product" (over two halves of a batch), or between clouds of
            the statistics of subsets of a batch, "transport" (exact), "sinkhorn", "sliced" or
            "wasserstein_1d" (`sdv_wgangp.objectives.matching` compares them).
        meta_feature_subsets: How many subsets make a cloud.
        meta_feature_fraction: Share of the batch in each subset, in (0, 1].
        meta_feature_schedule: Of the weight: "constant"; "warmup", rising in the first tenth of
            the steps; "decay", falling to 0 in the last half of them.
        target: Column whose relation to the others matters most: "gravity" needs one, and
            "contingency" and "joint_entropy" look at its pairs first.
        ema_decay: Decay of the moving average of the generator's weights, in [0, 1). "auto" lets
            it reach over the same part of a short and a long training.
        calibrate: Select among generated rows by how much likelier they are in the training
            table, marginals included, and map numbers by rank (`calibration`). The rows of
            a call are then balanced: their marginals have less noise than those of independent
            rows (`calibration.balancing`). False gives the generator's own, independent rows.
        conditional_share: Share of each batch that is trained with some cells given, in [0, 0.5].
            Conditions on discrete columns are then met without rejecting rows
            (`sample_from_conditions`, `sample_remaining_columns`, `sample_marginal`); with 0
            SDV rejects rows until enough meet them.
        random_state: Seed of the fit; None draws one. Sampling repeats after `reset_sampling`.
        max_seconds: Wall-clock time for `fit`: SDV's validation and preprocessing, encoding,
            training and calibration. (Of several tables each has it for itself, without SDV's
            part.) The training has at least a tenth of it; a warning says where that is too much.
            Where it is too short for all epochs, the learning rates are planned to reach 0 when
            it is up; fewer epochs are then made, and how many steps depends on the machine, so
            that ``random_state`` no longer makes the fit repeatable. None for as much time as it
            takes.
        early_stopping: Hold rows out from the critic and score generated rows against them about
            every 20th part of the training, at the end of an epoch (`get_validation_scores`).
            After ``patience`` checks without a new highest score the learning rates fall to 0
            within a quarter of the steps made so far, and training ends; there are then fewer
            epochs than ``epochs``. Either way the best generator is kept, not the last. A table
            of a few thousand rows has too few to hold out to see more than gross faults.
        validation_fraction: Share of the rows to hold out, in (0, 0.5]; at least 50 rows, and at
            most 10,000 are.
        patience: See ``early_stopping``.
        objective: What generator and critic want of the critic's scores: "wgan-gp", "wgan-lp",
            "wgan" (weight clipping), "gan", "hinge" or "relativistic"
            (`sdv_wgangp.objectives.adversarial` has their formulas).
        gradient_penalty: "wgan-gp", "wgan-lp", "r1", "r2", "r1+r2", "zero-gp" (which has no
            closed form: the critic is then trained by automatic differentiation) or "none"; None
            for that of the objective.
        max_grad_norm: Bound of the norm of either player's gradient; None for no bound.
        gradient_penalty_interval: Critic steps from one penalty to the next, whose weight is
            multiplied by it; 1 penalises every step (Karras et al. 2020, "Analyzing and Improving
            the Image Quality of StyleGAN", section 3.1).
        weight_clip: Bound of the critic's weights after each of its steps, where there is no
            penalty; None for that of the objective, 0.01 with "wgan" and none otherwise.
        optimizer: "adam", or "rmsprop" as in the first Wasserstein GANs.
        betas: Adam's decays of the averages of gradients and of their squares, each in [0, 1);
            the second is RMSprop's alpha. A step without momentum, the first 0, is compiled.
        discriminator_dropout: Share of the critic's hidden units that a step of the critic leaves
            out, in [0, 1).
        conditional_weight: Factor of the scores of conditional distributions, which only what
            generates rows under conditions follows; 0 switches them off.
        min_steps_per_epoch: Generator steps that an epoch has at least. Fewer make a draft of a
            small table.
        precision: Of the matrix products: "medium" is bfloat16 where the processor has it,
            "highest" float32.
        tracking_decay: Decay per step of the moving average of statistics that the distance
            "tracked" compares, in [0, 1).
        sinkhorn_epsilon, sinkhorn_iterations: Of the distance "sinkhorn": its smoothing, in units
            of the mean cost between two clouds, and how often its potentials are updated.
        sliced_projections: Random directions of the distance "sliced", new in each step.
        marginal_control: Gain of the controller that keeps rare values alive in training
            (`sdv_wgangp.players.marginal_control`): levels that are drawn too seldom get a
            larger bias. 0 switches it off.
        relations: Exact relations between columns that every sampled row is to keep, such as
            sums, orders, equalities and dependences: "auto" for those that are found in the
            table (`sdv_wgangp.encoding.relations`), "off" for none, or a list of their
            statements, like ``["total = net + tax"]``.
        encoding_options: Hyper-parameters of the encoding that are to differ from their defaults,
            a dictionary like ``{"bins": 50}`` (`sdv_wgangp.encoding.options.EncodingOptions`).
        calibration_options: The same for the calibration, like ``{"trees": 500, "depth": 4}``
            (`sdv_wgangp.calibration.options.CalibrationOptions`).

    Raises:
        SynthesizerInputError: A parameter is out of range; names it and the range.
    """

    # When `fit` was called; None outside of it.
    _began: float | None = None
    _later_parameters: ClassVar[dict[str, Any]] = LATER_PARAMETERS
    _model_sdtype_transformers: ClassVar[dict] = {
        "numerical": None,
        "categorical": None,
        "boolean": None,
        "ordinal": None,
    }

    @sdv_versions.takes_cuda
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
        batch_size: int | str = "auto",
        discriminator_steps: int = 2,
        log_frequency: bool = True,
        verbose: bool = False,
        epochs: int | str = "auto",
        pac: int = 1,
        enable_gpu: bool = True,
        gradient_penalty_weight: float = 10.0,
        meta_features: Sequence[str] | None = None,
        meta_feature_weight: float | Mapping[str, float] = 1.0,
        meta_feature_distance: str = "tracked",
        meta_feature_subsets: int = 10,
        meta_feature_fraction: float = 0.5,
        meta_feature_schedule: str = "constant",
        target: str | None = None,
        ema_decay: float | str = "auto",
        calibrate: bool = True,
        conditional_share: float = 0.1,
        random_state: int | None = None,
        max_seconds: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        objective: str = "wgan-gp",
        gradient_penalty: str | None = None,
        max_grad_norm: float | None = None,
        gradient_penalty_interval: int = 1,
        weight_clip: float | None = None,
        optimizer: str = "adam",
        betas: Sequence[float] = (0.0, 0.9),
        discriminator_dropout: float = 0.0,
        conditional_weight: float = 1.0,
        min_steps_per_epoch: int = 120,
        precision: str = "medium",
        tracking_decay: float = 0.98,
        sinkhorn_epsilon: float = 0.05,
        sinkhorn_iterations: int = 50,
        sliced_projections: int = 32,
        marginal_control: float = 0.3,
        relations: str | Sequence[str] = "auto",
        encoding_options: Mapping[str, float] | None = None,
        calibration_options: Mapping[str, float] | None = None,
    ):
        arguments = dict(locals())  # before there are other variables
        # SDV's transformers keep the list itself.
        arguments["locales"] = list(locales) if isinstance(locales, tuple) else locales
        super().__init__(
            metadata=metadata,
            enforce_min_max_values=enforce_min_max_values,
            enforce_rounding=enforce_rounding,
            locales=arguments["locales"],
        )
        for name in PARAMETERS:
            setattr(self, name, arguments[name])
        self._check_parameters()
        self._check_names()

    def _check_parameters(self) -> None:
        """Refuse what cannot be trained with, by name and with the range."""
        columns = sdv_versions.columns_of(self.metadata)
        with input_errors():
            check_values({name: getattr(self, name) for name in PARAMETERS})
            check_together(self.batch_size, self.pac, self.target, columns)
            self._settings(meta_features=())  # refuses objectives and penalties at odds

    def _check_names(self) -> None:
        """The same for names of meta-features, of which a loaded model may know more."""
        with input_errors():
            settings = self._settings()
            if settings.meta_features:
                settings.check_sample_size(self.pac)

    def _settings(self, **others: Any) -> TrainingSettings:
        """The parameters that concern the training, but for others.

        Raises:
            ValueError: Two of them contradict each other, or a meta-feature is unknown.
        """
        names = [field.name for field in fields(TrainingSettings) if field.name in PARAMETERS]
        given = {name: getattr(self, name) for name in names}
        matched = self.meta_features or ()
        given["meta_features"] = matched if isinstance(matched, str) else tuple(matched)
        given["betas"] = tuple(self.betas)
        return TrainingSettings(**(given | others))

    def _update_default_transformers(self) -> None:
        """Let numbers through as they are and missing values with them.

        The model learns both; RDT's formatter would turn integers beyond 2**53 into floats and
        put missing values back at random. SDV itself clips and rounds the samples.
        """
        super()._update_default_transformers()
        self._data_processor._update_transformers_by_sdtypes(
            "datetime", TimestampEncoder(enforce_min_max_values=self.enforce_min_max_values)
        )

    def fit(self, data) -> None:
        self._began = time.perf_counter()
        try:
            super().fit(data)
        finally:
            del self._began

    def validate(self, data) -> None:
        described = self._described()
        for frame in sdv_versions.frames(data):
            if errors := unreadable_columns(frame, described):
                raise InvalidDataError(errors)
        with sdv_versions.keeping_numpy_state():
            try:
                super().validate(self._readable(data))
            except InvalidDataError as error:
                for frame in sdv_versions.frames(data):
                    if errors := far_dates(frame, described):
                        raise InvalidDataError(errors) from error
                raise

    def auto_assign_transformers(self, data) -> None:
        super().auto_assign_transformers(self._readable(data))

    def preprocess(self, data):
        return super().preprocess(self._readable(data))

    def _readable(self, data):
        described = self._described()
        return sdv_versions.map_frames(lambda frame: readable(frame, described), data)

    def add_constraints(self, constraints) -> None:
        super().add_constraints(constraints)
        # SDV builds a new data processor here and forgets the transformers of the model.
        self._update_default_transformers()

    def _validate(self, data: pd.DataFrame) -> list[str]:
        """Errors of the data that SDV itself does not see, reported together with its own."""
        return impossible_columns(data, self._data_processor.get_sdtypes())

    def _preprocess(self, data: pd.DataFrame) -> pd.DataFrame:
        processor = self._data_processor
        data = in_stable_dtypes(data, processor.get_sdtypes())
        if processor._primary_key is not None or not processor._keys:
            processed = super()._preprocess(data)
        else:
            # With alternate keys alone SDV would look for a primary key called None. Keys are not
            # modelled, so the table without them, as for a condition, is the same.
            processor.fit(data)
            processed = processor.transform(data, is_condition=True)
        replace_formatters(processor, data)
        return processed

    def _fit(self, processed_data: pd.DataFrame) -> None:
        transformers = self._data_processor._hyper_transformer.field_transformers
        discrete = detect_discrete_columns(self.metadata, processed_data, transformers)
        sdtypes = self._data_processor.get_sdtypes()
        ordinal = [name for name in discrete if sdtypes.get(name) == "ordinal"]
        self._model = TabularModel(
            self._settings(),
            embedding_dim=self.embedding_dim,
            generator_dim=tuple(self.generator_dim),
            discriminator_dim=tuple(self.discriminator_dim),
            pac=self.pac,
            dropout=self.discriminator_dropout,
            rounded=self.enforce_rounding,
            calibrate=self.calibrate,
            enable_gpu=self.enable_gpu,
            random_state=self.random_state,
            target=self.target,
            relations=self.relations,
            encoding_options=EncodingOptions.of(self.encoding_options, "encoding_options"),
            calibration_options=CalibrationOptions.of(
                self.calibration_options, "calibration_options"
            ),
        )
        with (
            ProgressBar(disable=not self.verbose) as progress,
            self._recording_what_was_learned(processed_data),
        ):
            self._model.fit(
                processed_data,
                discrete_columns=[name for name in discrete if name not in ordinal],
                ordinal_columns=ordinal,
                callbacks=(progress, *self._callbacks),
                checkpoints=self._make_checkpoints(),
                resume=self._resuming,
                started=self._began,
                date_columns=[
                    name
                    for name, each in transformers.items()
                    if isinstance(each, TimestampEncoder)
                    and each.span is not None
                    and name in processed_data
                    and pd.api.types.is_numeric_dtype(processed_data[name])
                ],
            )

    @contextmanager
    def _recording_what_was_learned(self, processed_data: pd.DataFrame) -> Iterator[None]:
        """After a divergence, or an error of a callback, the model holds what it has learned.

        Let it be sampled and saved. Of a frame without rows SDV only notes that the synthesizer
        was fitted, when and with what.
        """
        try:
            yield
        except Exception:
            if self._model.can_sample:
                nothing = sdv_versions.as_fit_input(self.metadata, processed_data.head(0))
                super().fit_processed_data(nothing)
            raise

    def continue_fit(self, data, epochs: int) -> None:
        """Train a fitted synthesizer on, on the same or newer rows of the same columns.

        Names and kinds of the columns, their categories and the ranges of their numbers stay as
        they were learned; calibration is to the new rows. Within the process of the fit the
        critic goes on, too; a loaded synthesizer has none and trains a new one first, against a
        generator at rest. ``max_seconds``, ``early_stopping`` and checkpoints do not apply; a
        warning says so where they are set. After an error the synthesizer is as it was before,
        unless it came from a callback.

        Args:
            data: As for `fit`.
            epochs: How many more.

        Raises:
            NotFittedError: Before `fit`.
            SynthesizerInputError: ``epochs`` is no whole number of at least 1.
            InvalidDataError: SDV's metadata do not allow a value. Metadata that SDV 2 detected
                hold the ranges and levels of the first table; take them out to allow newer ones.
            ValueError: A column holds a category, or a missing value, that it had not when it was
                fitted; names both.
        """
        if not self._fitted:
            raise NotFittedError("There is nothing to continue before the synthesizer is fitted.")
        with input_errors():
            Whole(least=1).check("epochs", epochs)
        if self._model is None:
            raise SynthesizerInputError(
                "There is nothing to continue: the table has keys and anonymised columns only."
            )
        if self._checkpoint_options is not None:
            warnings.warn(
                "A continued fit writes no checkpoints: it is lost if the process is killed.",
                stacklevel=2,
            )
        given = sdv_versions.as_frame(data)
        if not len(given):
            raise SynthesizerInputError("There are no rows to train on.")
        frame = self._readable(given.rename(columns=str))
        self.validate(sdv_versions.as_fit_input(self.metadata, frame))
        # As for conditions: with what was fitted, which stays as it is, and without the keys.
        frame = self._validate_transform_constraints(frame)
        frame = in_stable_dtypes(frame, self._data_processor.get_sdtypes())
        processed = self._data_processor.transform(frame, is_condition=True)
        with ProgressBar(disable=not self.verbose) as progress:
            self._model.continue_fit(processed, epochs, (progress, *self._callbacks))

    @property
    def model(self) -> TabularModel:
        """The fitted model below: encoding, generator, calibration and logs, to look at.

        Its columns are those that SDV's transformers and constraints made of the table.

        Raises:
            NotFittedError: Before `fit`.

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"x": [0.5, 1.5, 2.5] * 20, "y": ["a", "b", "a"] * 20})
            >>> metadata = sdv_versions.detect_metadata(frame)
            >>> synthesizer = WGANGPMFSSynthesizer(metadata, epochs=1, min_steps_per_epoch=1)
            >>> synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
            >>> synthesizer.model.encoder.names
            ['x', 'y']
        """
        if not self._fitted or self._model is None:
            raise NotFittedError("There is no model yet: call fit first.")
        return self._model

    def get_loss_values(self) -> pd.DataFrame:
        """Mean losses of every epoch: columns Epoch, Generator Loss, Discriminator Loss.

        Raises:
            NotFittedError: Before `fit`.
        """
        return pd.DataFrame(
            [(log.epoch, log.generator_loss, log.discriminator_loss) for log in self._logs()],
            columns=LOSS_COLUMNS,
        )

    def get_loss_terms(self) -> pd.DataFrame:
        """What the losses of `get_loss_values` are made of, means of every epoch.

        Generator Loss is Adversarial + Meta-Features + Conditional, Discriminator Loss is
        Wasserstein (the critic's loss, whichever the objective) + Gradient Penalty; each with its
        weight.

        Returns:
            Columns Epoch, Adversarial, Meta-Features, Conditional, Wasserstein, Gradient Penalty.

        Raises:
            NotFittedError: Before `fit`.
        """
        return pd.DataFrame(
            [
                (
                    log.epoch,
                    log.adversarial_loss,
                    log.meta_feature_loss,
                    log.conditional_loss,
                    log.discriminator_loss - log.gradient_penalty,
                    log.gradient_penalty,
                )
                for log in self._logs()
            ],
            columns=TERM_COLUMNS,
        )

    def get_meta_feature_losses(self) -> pd.DataFrame:
        """Mean distance of every epoch between generated and real meta-features.

        The squared distance that ``meta_feature_distance`` names, summed over a meta-feature's
        coordinates on their common scale (`sdv_wgangp.objectives.matching`), before weight and
        schedule; with "tracked" that of the moving average.

        Returns:
            Columns Epoch and one for each meta-feature that was matched.

        Raises:
            NotFittedError: Before `fit`.
        """
        logs = self._logs()
        names = list(logs[0].meta_feature_losses) if logs else []
        return pd.DataFrame(
            [(log.epoch, *log.meta_feature_losses.values()) for log in logs],
            columns=["Epoch", *names],
        )

    def get_validation_scores(self) -> pd.DataFrame:
        """What ``early_stopping`` saw: columns Epoch and Score, a row for each check.

        The score says how hard boosted trees find it to tell generated rows, not calibrated, from
        the held-out ones: from 0, always told, to 1, not at all
        (`sdv_wgangp.training.validation.HeldOutScore`). Without ``early_stopping`` there are no
        rows.

        Raises:
            NotFittedError: Before `fit`.
        """
        scores = [(log.epoch, log.validation_score) for log in self._logs()]
        return pd.DataFrame(
            [(epoch, score) for epoch, score in scores if score is not None],
            columns=SCORE_COLUMNS,
        )

    def _logs(self) -> list[EpochLog]:
        """One for each epoch; none for a table of keys and anonymised columns only."""
        if not self._fitted:
            raise NotFittedError("There are no loss values before the synthesizer is fitted.")
        return [] if self._model is None else self._model.logs

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


register(WGANGPMFSSynthesizer, without=WATCHING | OF_THE_PROCESS)
