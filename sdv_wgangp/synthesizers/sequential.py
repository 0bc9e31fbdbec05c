"""`DoppelGANgerSynthesizer`: the model of sequences as a synthesizer of SDV."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import plotly.express as px
from sdv._utils import MODELABLE_SDTYPES
from sdv.errors import InvalidDataError, NotFittedError, SamplingError, SynthesizerInputError
from sdv.sequential import PARSynthesizer
from sdv.single_table import GaussianCopulaSynthesizer
from sdv.single_table.base import BaseSynthesizer
from sdv.single_table.utils import detect_discrete_columns

from sdv_wgangp.models.sequences import SequenceModel, SequenceSettings
from sdv_wgangp.parameters import Whole
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.keys import seed_keys
from sdv_wgangp.synthesizers.saved_classes import register
from sdv_wgangp.synthesizers.saving import Saved
from sdv_wgangp.synthesizers.transformers import (
    NumberFormatter,
    TimestampEncoder,
    impossible_columns,
    in_stable_dtypes,
    readable,
    replace_formatters,
    unreadable_columns,
)
from sdv_wgangp.synthesizers.watched import WATCHING, Watched
from sdv_wgangp.training.callbacks.progress import ProgressBar

# Where sampling begins in a fitted synthesizer, as SDV's others do at a fixed place.
FIRST_SEED = 73251


class DoppelGANgerSynthesizer(Watched, Saved, PARSynthesizer):
    """Sequences: a replacement of `PARSynthesizer` by one line.

    Heads (context columns, lengths, where the index starts) are rows of a table, learned by a
    `WGANGPMFSSynthesizer`'s model; smooth numeric columns are a level, a scale and a stationary
    course (the normalisation of DoppelGANger, Lin et al. 2020), from a Gaussian process and a
    WGAN-GP on what that lacks; all other columns, missing values and gaps of the index among them,
    are drawn row by row given head and past (`sdv_wgangp.models.sequences`).

    Rows of a sequence are sorted by the sequence index, if there is one; gaps between them are
    learned, so that time never goes back, and does not stand still unless it does in the data.
    Metadata without a sequence key describe one long series: it is learned in windows, and the
    first column of dates that never goes back is its index.

    Args:
        metadata: SDV metadata of the one table.
        enforce_min_max_values: Clip numbers to the range of the training table; never the index.
        enforce_rounding: Round numbers to as many decimals as they have in the training table.
        locales: Locales of the anonymised columns.
        context_columns: Columns that do not change within a sequence.
        segment_size: Learn segments of so many rows, or of so much time (`pandas.Timedelta`), in
            the place of whole sequences; without a sequence key the length of the windows.
        epochs: Of each of the trainings; 0 leaves paths to the Gaussian process and draws other
            columns by chance.
        verbose: Show a progress bar.
        enable_gpu: Use CUDA where there is a device.
        random_state: Seed of the fit; None draws one. Sampling repeats after `reset_sampling`.
        cuda: What `PARSynthesizer` calls ``enable_gpu``.

    Raises:
        SynthesizerInputError: A parameter is out of range, or a column cannot be what it is
            named as; names it.

    Example:
        >>> from sdv.metadata import Metadata
        >>> frame = pd.DataFrame({
        ...     "who": ["a"] * 3 + ["b"] * 3, "day": [1, 2, 4, 2, 3, 7], "x": [1, 2, 2, 5, 6, 6]})
        >>> metadata = Metadata.load_from_dict({"tables": {"t": {
        ...     "columns": {"who": {"sdtype": "id"}, "day": {"sdtype": "numerical"},
        ...                 "x": {"sdtype": "numerical"}},
        ...     "sequence_key": "who", "sequence_index": "day"}}})
        >>> synthesizer = DoppelGANgerSynthesizer(metadata, epochs=1, random_state=0)
        >>> synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
        >>> sdv_versions.as_frame(synthesizer.sample(2, sequence_length=5)).shape
        (10, 3)
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
        context_columns: Sequence[str] | None = None,
        segment_size: int | pd.Timedelta | None = None,
        epochs: int = 20,
        verbose: bool = False,
        enable_gpu: bool = True,
        random_state: int | None = None,
        cuda: bool | None = None,
    ):
        # Not that of PARSynthesizer, which needs a key and makes a model of its own.
        BaseSynthesizer.__init__(
            self,
            metadata=metadata,
            enforce_min_max_values=enforce_min_max_values,
            enforce_rounding=enforce_rounding,
            locales=list(locales) if isinstance(locales, tuple) else locales,
        )
        table = self._get_table_metadata()
        key = table.sequence_key
        self._sequence_key = [key] if isinstance(key, str) else list(key or []) or None
        self._sequence_index = table.sequence_index
        self.context_columns = list(context_columns or [])
        self.segment_size = segment_size
        self.epochs, self.verbose = epochs, verbose
        self.enable_gpu = enable_gpu if cuda is None else bool(cuda)
        self.random_state, self.cuda = random_state, cuda
        self._model_kwargs = {"epochs": epochs, "verbose": verbose}
        self._extra_context_columns: dict[str, dict] = {}
        self.extended_columns: dict[str, Any] = {}
        self._check_parameters()
        self._context_synthesizer = self._keys_synthesizer()

    def _check_parameters(self) -> None:
        """Refuse what cannot be trained with, by name and with the range or remedy."""
        with input_errors():
            Whole(least=0).check("epochs", self.epochs)
            if self.random_state is not None:
                Whole(least=0).check("random_state", self.random_state)
        columns = self._get_table_metadata().columns
        for name in self.context_columns:
            if name not in columns and not self._chained_constraints:
                raise SynthesizerInputError(
                    f"Context column '{name}' is not in the metadata: add it there, or take it "
                    "out of context_columns."
                )
            if name == self._sequence_index:
                raise SynthesizerInputError(
                    f"The sequence index '{name}' cannot be a context column: take it out of "
                    "context_columns."
                )
        if self._sequence_key is not None:
            self._validate_sequence_key_and_context_columns()
        elif self.context_columns:
            raise SynthesizerInputError(
                f"Context column '{self.context_columns[0]}' needs a sequence key: set one in the "
                "metadata, or leave context_columns empty."
            )
        size = self.segment_size
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 1
        timed = isinstance(size, pd.Timedelta) and size > pd.Timedelta(0)
        if size is not None and not whole and not timed:
            raise SynthesizerInputError(
                "segment_size must be None, a whole number of at least 1 or a positive "
                f"pandas.Timedelta, not {size!r}."
            )
        index = columns.get(self._sequence_index, {}).get("sdtype")
        if timed and index != "datetime":
            raise SynthesizerInputError(
                "segment_size is a length of time, which needs a sequence index of datetimes: "
                "give a number of rows."
            )

    def get_parameters(self) -> dict[str, Any]:
        """The arguments that the synthesizer was made with."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if name != "metadata"}

    def _keys_synthesizer(self) -> GaussianCopulaSynthesizer | None:
        """SDV's synthesizer of the context, of which keys and ids are taken, no model."""
        if self._sequence_key is None:
            return None
        return GaussianCopulaSynthesizer(
            self._get_context_metadata(),
            enforce_min_max_values=self.enforce_min_max_values,
            enforce_rounding=self.enforce_rounding,
            locales=list(self.locales)
            if isinstance(self.locales, (list, tuple))
            else self.locales,
        )

    def add_constraints(self, constraints) -> None:
        super().add_constraints(constraints)
        # SDV builds a new data processor here and forgets the transformers of the model.
        self._update_default_transformers()

    def _update_default_transformers(self) -> None:
        super()._update_default_transformers()
        self._data_processor._update_transformers_by_sdtypes(
            "datetime", TimestampEncoder(enforce_min_max_values=self.enforce_min_max_values)
        )

    # ----------------------------------------------------------------- data on their way in

    def _described(self) -> dict[str, dict[str, Any]]:
        return sdv_versions.columns_of(self.get_metadata())

    def _readable(self, data):
        described = self._described()
        return sdv_versions.map_frames(lambda frame: readable(frame, described), data)

    def validate(self, data) -> None:
        described = self._described()
        for frame in sdv_versions.frames(data):
            if errors := unreadable_columns(frame, described):
                raise InvalidDataError(errors)
        with sdv_versions.keeping_numpy_state():
            super().validate(self._readable(data))

    def preprocess(self, data):
        return super().preprocess(self._readable(data))

    def _validate(self, data: pd.DataFrame) -> list[str]:
        """Errors of the data that SDV itself does not see, reported together with its own."""
        data = self._validate_transform_constraints(data)
        errors = impossible_columns(data, self._data_processor.get_sdtypes())
        if self._sequence_index is not None and data[self._sequence_index].isna().any():
            rows = int(data[self._sequence_index].isna().sum())
            errors.append(
                f"Sequence index '{self._sequence_index}' is missing in {rows} rows: fill it, or "
                "drop them."
            )
        if self._sequence_key is not None:
            errors += self._validate_context_columns(data)
        return errors

    def _preprocess(self, data: pd.DataFrame) -> pd.DataFrame:
        processor = self._data_processor
        data = in_stable_dtypes(data, processor.get_sdtypes())
        if not processor._prepared_for_fitting:
            processor.prepare_for_fitting(data)
        self._free_index(processor)
        raw = [*(self._sequence_key or []), *self._id_context_columns()]
        present = set(processor._hyper_transformer.field_transformers)
        if raw := [name for name in raw if name in present]:
            self.update_transformers(dict.fromkeys(raw))
        processed = BaseSynthesizer._preprocess(self, data)
        replace_formatters(processor, data)
        self._free_index(processor)
        for name in self._sequence_key or []:
            if name not in processed:
                processed[name] = data[name].to_numpy()
        return processed

    def _free_index(self, processor) -> None:
        """Let the index leave its training range: sequences may be longer than any."""
        transformers = processor._hyper_transformer.field_transformers
        if self._sequence_index is not None:
            self._free(transformers.get(self._sequence_index))
            self._free(processor.formatters.get(self._sequence_index))

    @staticmethod
    def _free(each) -> None:
        if getattr(each, "enforce_min_max_values", False):
            each.enforce_min_max_values = False
        if isinstance(each, TimestampEncoder) and each.span is not None:
            each._span = each.span[0], pd.Timestamp.max.floor("D").value
        elif isinstance(each, NumberFormatter):
            each._span = None  # which it would clip to

    def _id_context_columns(self) -> list[str]:
        """Context columns that are made up, not learned."""
        columns = self._get_table_metadata().columns
        return [
            name
            for name in self.context_columns
            if columns.get(name, {}).get("sdtype") not in (*MODELABLE_SDTYPES, "ordinal")
        ]

    # ----------------------------------------------------------------- learning

    def _fit(self, processed_data: pd.DataFrame) -> None:
        made_up = self._id_context_columns()
        modelled = processed_data.drop(columns=made_up, errors="ignore")
        transformers = self._data_processor._hyper_transformer.field_transformers
        sdtypes = self._data_processor.get_sdtypes()
        key = self._sequence_key or []
        discrete = [
            name
            for name in detect_discrete_columns(self.metadata, modelled, transformers)
            if name not in key
        ]
        ordinal = [name for name in discrete if sdtypes.get(name) == "ordinal"]
        index = self._index_of(modelled, sdtypes)
        if index is not None and sdtypes.get(index) == "datetime":
            modelled = modelled.assign(**{index: modelled[index].astype("int64")})
        self._model = SequenceModel(
            self._sequence_key,
            index,
            [name for name in self.context_columns if name not in made_up],
            self.segment_size,
            settings=SequenceSettings.of(self.epochs),
            rounded=self.enforce_rounding,
            enable_gpu=self.enable_gpu,
            random_state=self.random_state,
        )
        self._fit_keys(processed_data, made_up)
        with ProgressBar(disable=not self.verbose) as progress, _data_errors():
            self._model.fit(
                modelled,
                [name for name in discrete if name not in ordinal],
                ordinal,
                callbacks=(progress, *self._callbacks),
                checkpoints=self._make_checkpoints(),
                resume=self._resuming,
            )
        self.reset_sampling()

    def _index_of(self, frame: pd.DataFrame, sdtypes: dict[Any, str]) -> str | None:
        """The sequence index. SDV allows none without a key: of one long series the first column
        of dates that never goes back is taken for it."""
        if self._sequence_key is not None:
            return self._sequence_index
        for name in frame:
            dates = sdtypes.get(name) == "datetime"
            if dates and frame[name].notna().all() and frame[name].is_monotonic_increasing:
                self._free(self._data_processor._hyper_transformer.field_transformers[name])
                return str(name)
        return None

    def _fit_keys(self, processed_data: pd.DataFrame, made_up: list[str]) -> None:
        """Learn what keys and made-up contexts look like."""
        self._context_synthesizer = self._keys_synthesizer()
        if self._context_synthesizer is None or self._sequence_key is None:
            return
        metadata = self._context_synthesizer.metadata
        names = [*self._sequence_key, *self.context_columns]
        frame = processed_data[names].drop_duplicates(self._sequence_key).reset_index(drop=True)
        self._context_synthesizer.auto_assign_transformers(
            sdv_versions.as_fit_input(metadata, frame)
        )
        self._context_synthesizer._data_processor.fit(frame)

    # ----------------------------------------------------------------- drawing

    @property
    def model(self) -> SequenceModel:
        """The fitted model below.

        Raises:
            NotFittedError: Before `fit`.
        """
        if not self._fitted or self._model is None:
            raise NotFittedError("There is no model yet: call fit first.")
        return self._model

    def reset_sampling(self) -> None:
        """Go back to the fixed start, where a fitted synthesizer begins."""
        self._begin_at(FIRST_SEED, keys=False)

    def set_sampling_seed(self, seed: int) -> None:
        """Begin sampling anew from a seed: rows, keys and anonymised values depend on it.

        Args:
            seed: At least 0.

        Raises:
            NotFittedError: Before `fit`.
            SynthesizerInputError: The seed is no whole number of at least 0.
        """
        with input_errors():
            Whole(least=0).check("seed", seed)
        self.model  # noqa: B018  # refuses before the fit
        self._begin_at(int(seed), keys=True)

    def _begin_at(self, seed: int, keys: bool) -> None:
        processors = [self._data_processor]
        if self._context_synthesizer is not None:
            processors.append(self._context_synthesizer._data_processor)
        for processor in processors:
            processor.reset_sampling()
            if keys:
                seed_keys(processor, seed)
        if self._model is not None and self._model.can_sample:
            self._model.set_random_state(seed % 2**63)

    def sample(self, num_sequences: int, sequence_length: int | None = None):
        """Draw sequences; the same as `sample_sequences`."""
        return self.sample_sequences(num_sequences, sequence_length)

    def sample_sequences(self, num_sequences: int, sequence_length: int | None = None):
        """Draw sequences.

        Args:
            num_sequences: How many.
            sequence_length: Steps of each, also beyond what was seen; None draws lengths.

        Returns:
            What SDV's installed line gives: ``{table: frame}``, or the frame with SDV 1.

        Raises:
            NotFittedError: Before `fit`.
            SynthesizerInputError: A number is out of range; names it.
        """
        _check_counts(num_sequences=num_sequences, sequence_length=sequence_length)
        return self._given_back(num_sequences, sequence_length, None)

    def sample_sequential_columns(
        self, context_columns: pd.DataFrame, sequence_length: int | None = None
    ):
        """Draw sequences with given contexts.

        Args:
            context_columns: A row for each sequence, with any of the context columns, and the
                sequence key, if that is to be kept. What is absent is drawn to go with the rest.
            sequence_length: As of `sample_sequences`.

        Raises:
            NotFittedError: Before `fit`.
            SamplingError: There are no context columns or no rows, a key is missing or there
                twice, or a value was not in the training data; names column and value.
        """
        model = self.model
        _check_counts(sequence_length=sequence_length)
        if not self.context_columns:
            raise SamplingError(
                "This synthesizer does not have any context columns. Please use "
                "'sample_sequences()' to sample new sequences."
            )
        given = sdv_versions.as_frame(context_columns).reset_index(drop=True)
        self._check_given(given)
        return self._given_back(len(given), sequence_length, given, model)

    def _check_given(self, given: pd.DataFrame) -> None:
        """Refuse contexts that no sequence can have, by the names that the user knows."""
        key = self._sequence_key or []
        known = {*key, *self.context_columns}
        if unknown := [name for name in given if name not in known]:
            name, described = unknown[0], self._described()
            options = ", ".join(sorted(each for each in known if each in described))
            # A constraint makes other columns of its own, under names that are no user's.
            if name in described and name not in self._get_table_metadata().columns:
                raise SamplingError(
                    f"'{name}' is under a constraint: sequences cannot be drawn for values of it; "
                    f"leave it out, and give some of {options}."
                )
            raise SamplingError(f"'{name}' is no context column: give some of {options}.")
        if not len(given):
            raise SamplingError("The context frame has no rows: give one for each sequence.")
        for name in key:
            if name in given and given[name].isna().any():
                rows = int(given[name].isna().sum())
                raise SamplingError(
                    f"Sequence key '{name}' is missing in {rows} rows of the context frame: fill "
                    "it, or leave the column out."
                )
        # Of several columns each is kept or made up alone; all of them have to be told apart.
        if key and all(name in given for name in key) and given.duplicated(key).any():
            first = given.loc[given.duplicated(key), key].iloc[0]
            value = ", ".join(f"'{name}' = {first[name]!r}" for name in key)
            raise SamplingError(
                f"Sequence key {value} is in several rows of the context frame: give each "
                "sequence a key of its own."
            )
        self._check_numbers(given)

    def _check_numbers(self, frame: pd.DataFrame) -> None:
        """Refuse text in columns of numbers by the column's name."""
        sdtypes = self._data_processor.get_sdtypes()
        for name in frame:
            if sdtypes.get(name) != "numerical" or pd.api.types.is_numeric_dtype(frame[name]):
                continue
            present = frame[name].dropna()
            lost = pd.to_numeric(present.astype(object), errors="coerce").isna()
            if lost.any():
                raise SamplingError(
                    f"Column '{name}' holds {present[lost].iloc[0]!r}, which is no number: give "
                    "numbers."
                )

    def sample_continuation(self, prefix, steps: int):
        """Draw how given sequences go on.

        Args:
            prefix: Rows of sequences, as for `fit`: a frame, or ``{table: frame}``.
            steps: How many rows follow each of them.

        Returns:
            The rows that follow, with keys and contexts of the given ones, as `sample_sequences`.
            They never lie before the last row of their prefix, wherever that is; an index of
            dates goes on in the steps of the training dates, counted from there.

        Raises:
            NotFittedError: Before `fit`.
            SynthesizerInputError: ``steps`` is out of range.
            SamplingError: The prefix does not fit; names the column.
        """
        model = self.model
        _check_counts(steps=steps)
        frame = self._readable(sdv_versions.as_frame(prefix).copy())
        kept = [*(self._sequence_key or []), *self._id_context_columns()]
        described = self._described()
        for name in described:
            learned = described[name].get("sdtype") in (*MODELABLE_SDTYPES, "ordinal")
            if (learned or name in kept) and name not in frame:
                raise SamplingError(f"column '{name}' is not in the prefix: add it.")
        self._check_numbers(frame)
        transformed = self._validate_transform_constraints(frame)
        transformed = in_stable_dtypes(transformed, self._data_processor.get_sdtypes())
        processed = self._data_processor.transform(transformed, is_condition=True)
        for name in kept:
            processed[name] = transformed[name].to_numpy()
        processed = processed.reset_index(drop=True)
        index = model.assembler.index
        encoder = self._dates_of(index)
        if encoder is not None and index in transformed and transformed[index].notna().all():
            processed[index] = encoder.moments(transformed[index])  # floats skip some of them
        try:
            drawn = model.continued(processed, steps)
        except ValueError as error:
            raise SamplingError(f"{error}.") from error
        if made_up := self._id_context_columns():
            key = self._sequence_key or []
            known = processed[[*key, *made_up]].drop_duplicates(key)
            drawn = drawn.merge(known, on=key, how="left")
        if index is None:
            return self._decoded(drawn)
        owners = [processed[name] for name in self._sequence_key or []]
        lasts = processed.groupby(owners, sort=False, observed=True)[index].max() if owners else (
            pd.Series([processed[index].max()])
        )  # fmt: skip
        return self._decoded(drawn, lasts.repeat(steps))

    def _dates_of(self, name: str | None) -> TimestampEncoder | None:
        """What reads and writes the dates of a column; None where it holds no dates."""
        found = self._data_processor._hyper_transformer.field_transformers.get(name)
        return found if isinstance(found, TimestampEncoder) and found.span is not None else None

    def _gone_on(self, drawn: pd.Series, restored: pd.Series, lasts: pd.Series) -> pd.Series:
        """The index of continued sequences, not before the last row of each prefix.

        A prefix may lie between the steps of the training dates: they are counted from it.

        Args:
            drawn: As the model has it.
            restored: As the user has it, rounded and, dates, put on the training steps.
            lasts: Of each row's prefix, as the model has it.
        """
        ends, encoder = lasts.to_numpy(), self._dates_of(str(drawn.name))
        if encoder is None:
            return restored.where(restored.to_numpy() >= ends, pd.Series(ends, restored.index))
        shifts = ends - encoder.stepped(ends)
        moments = encoder.stepped(drawn.to_numpy() - shifts) + shifts
        # A clock that is set back shows some steps twice.
        moments = np.maximum(moments, ends)
        written = encoder.written(pd.DatetimeIndex(moments.view("M8[ns]")))
        return written.set_axis(restored.index)

    def _given_back(
        self,
        count: int,
        length: int | None,
        given: pd.DataFrame | None,
        model: SequenceModel | None = None,
    ):
        model = self.model if model is None else model
        made_up = self._id_context_columns()
        keys = self._new_keys(count)
        contexts = None
        if given is not None:
            for name in given:
                if name in keys:
                    keys[name] = given[name].to_numpy()
            contexts = self._contexts(given.drop(columns=list(keys), errors="ignore"))
        try:
            drawn = model.sample(
                count, length, contexts, keys[self._sequence_key] if self._sequence_key else None
            )
        except ValueError as error:
            raise SamplingError(f"{error}.") from error
        if made_up:
            own = [*(self._sequence_key or [])]
            drawn = drawn.merge(keys[[*own, *made_up]].drop_duplicates(own), on=own, how="left")
        return self._decoded(drawn)

    def _contexts(self, given: pd.DataFrame) -> pd.DataFrame | None:
        """Given contexts as the model knows them."""
        if not given.shape[1]:
            return None
        learned = [
            str(name)
            for name in given
            if self._data_processor._hyper_transformer.field_transformers.get(name) is not None
        ]
        contexts = given.copy()
        if learned:
            contexts[learned] = self._data_processor.transform(given[learned], is_condition=True)[
                learned
            ].to_numpy()
        return contexts

    def _new_keys(self, count: int) -> pd.DataFrame:
        """Keys and made-up contexts, a row for each sequence."""
        if self._context_synthesizer is None:
            return pd.DataFrame(index=range(count))
        processor = self._context_synthesizer._data_processor
        made = processor.generate_keys(count)
        transformers = processor._hyper_transformer.field_transformers
        others = [name for name in self._id_context_columns() if transformers.get(name)]
        if others:
            made[others] = processor._hyper_transformer.create_anonymized_columns(
                num_rows=count, column_names=others
            )
        for name in self._sequence_key or []:
            if name not in made:
                made[name] = np.arange(count)
        return made.reset_index(drop=True)

    def _decoded(self, drawn: pd.DataFrame, lasts: pd.Series | None = None):
        """Rows as the user knows them, behind those that ``lasts`` has the index of."""
        restored = self._data_processor.reverse_transform(drawn)
        if lasts is not None:
            name = self.model.assembler.index
            own = restored[name]
            restored[name] = self._gone_on(drawn[name], own, lasts).astype(own.dtype)
        for name in [*(self._sequence_key or []), *self._id_context_columns()]:
            if name in drawn and name not in restored:
                restored[name] = drawn[name].to_numpy()
        restored = self.reverse_transform_constraints(restored)
        order = [name for name in self._described() if name in restored]
        restored = restored[order].reset_index(drop=True)
        return sdv_versions.as_fit_input(self.metadata, restored)

    # ----------------------------------------------------------------- losses

    def get_loss_values(self) -> pd.DataFrame:
        """Mean losses of every epoch: columns Epoch, Generator Loss, Discriminator Loss.

        Epochs of paths come first, then those of the other columns, whose training has a
        likelihood and no critic.

        Raises:
            NotFittedError: Before `fit`.
        """
        if not self._fitted:
            raise NotFittedError(
                "Loss values are not available yet. Please fit your synthesizer first."
            )
        logs = [] if self._model is None else self._model.logs
        return pd.DataFrame(
            [(n, log.generator_loss, log.discriminator_loss) for n, log in enumerate(logs)],
            columns=["Epoch", "Generator Loss", "Discriminator Loss"],
        )

    def get_loss_values_plot(self, title: str = "DoppelGANger losses"):
        """Loss curves as a plotly figure.

        Raises:
            NotFittedError: Before `fit`.
        """
        losses = self.get_loss_values()
        figure = px.line(losses, x="Epoch", y=["Generator Loss", "Discriminator Loss"])
        figure.update_layout(
            title=title, template="plotly_white", legend_title_text="", yaxis_title="Loss"
        )
        return figure


def _check_counts(**counts: int | None) -> None:
    with input_errors():
        for name, count in counts.items():
            if count is not None:
                Whole(least=1).check(name, count)


class _data_errors:
    """Raise what the model says of the data as SDV's error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, traceback) -> None:
        if kind is ValueError:
            raise InvalidDataError([f"{error}."]) from error


# SDV's synthesizer of keys, whose data processor makes them.
register(GaussianCopulaSynthesizer)
register(DoppelGANgerSynthesizer, without=WATCHING)
