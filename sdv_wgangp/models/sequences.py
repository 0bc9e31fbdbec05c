"""Sequences of any kind of columns: heads, smooth paths, and all other steps."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.sequences import SequenceAssembler, Sequences
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.models import fitting
from sdv_wgangp.models.heads import HeadModel
from sdv_wgangp.models.paths import PathModel, PathSettings
from sdv_wgangp.models.steps import StepModel, StepSettings
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.run import Run
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.watchers import check_callbacks, tell_stage


@dataclass(frozen=True)
class SequenceSettings:
    """Hyper-parameters of the three models of sequences.

    Attributes:
        head: Training of the heads' table; an epoch has four times ``min_steps_per_epoch`` steps
            from 200 sequences on, twelve times from 1,000 on.
        steps: Of the network that draws rows one after the other.
        paths: Of the process and network that draw paths.
        least_path: Numeric columns are paths where half of the sequences have so many steps.
        most_frequent: And where no value is in more than this share of the rows.
    """

    head: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=60, min_steps_per_epoch=10)
    )
    steps: StepSettings = field(default_factory=StepSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    least_path: int = 12
    most_frequent: float = 0.05

    @classmethod
    def of(cls, epochs: int, **head: Any) -> SequenceSettings:
        """All three trainings in proportion to ``epochs``; 20 is the default of each.

        Args:
            epochs: At least 0.
            head: Further settings of the head's training.

        Example:
            >>> SequenceSettings.of(10).head.epochs
            30
        """
        return cls(
            TrainingSettings(**{"epochs": max(3 * epochs, 1), "min_steps_per_epoch": 10, **head}),
            StepSettings(epochs=epochs),
            PathSettings(epochs=epochs),
        )


class SequenceModel:
    """Learns sequences and draws new ones.

    A sequence has a *head*: its context columns, how long it is and where its index starts. Heads
    are rows of a table (`models.heads`). Its steps are told in two parts. Numeric columns that
    hardly ever repeat a value, in sequences of some length, are *paths*: each is a level, a scale
    (both told by the head) and a stationary course, drawn by a Gaussian process and a generator
    that is trained against a critic (WGAN-GP, `models.paths`). All other columns, gaps of the
    index among them, are drawn row by row given the head and the rows before (`models.steps`).

    Args:
        key, index, context_columns, segment_size: As of `encoding.sequences.SequenceAssembler`.
        settings: Hyper-parameters.
        rounded: Whether numbers keep to the decimals of their column.
        enable_gpu: Use CUDA where there is one, for the heads.
        random_state: Seed of the fit; None draws one.

    Attributes:
        logs: One `EpochLog` for each epoch of paths and steps.

    Example:
        >>> time = pd.date_range("2024-01-01", periods=4)
        >>> frame = pd.DataFrame({
        ...     "who": np.repeat(["a", "b", "c"], 4), "day": [*time] * 3,
        ...     "mood": ["good", "bad", "bad", "good"] * 3})
        >>> model = SequenceModel("who", "day", settings=SequenceSettings.of(1), random_state=0)
        >>> model.fit(frame).sample(2, length=6).shape
        (12, 3)
    """

    def __init__(
        self,
        key: str | Sequence[str] | None = None,
        index: str | None = None,
        context_columns: Iterable[str] = (),
        segment_size: int | pd.Timedelta | None = None,
        *,
        settings: SequenceSettings | None = None,
        rounded: bool = True,
        enable_gpu: bool = True,
        random_state: int | None = None,
    ):
        self.assembler = SequenceAssembler(key, index, context_columns, segment_size)
        self.settings = settings or SequenceSettings()
        self.rounded, self.enable_gpu = rounded, enable_gpu
        self.random_state = random_state
        self.logs: list[EpochLog] = []

    # ----------------------------------------------------------------- learning

    def fit(
        self,
        frame: pd.DataFrame,
        discrete_columns: Iterable[str] = (),
        ordinal_columns: Iterable[str] = (),
        callbacks: Sequence[Any] = (),
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
    ) -> SequenceModel:
        """Learn from a frame of sequences.

        Args:
            frame: Rows of all sequences, in any order where there is an index.
            discrete_columns, ordinal_columns: As of `TabularModel.fit`.
            callbacks: Of the trainings of paths and steps.
            checkpoints: Where the trainings are saved as they go on, in a folder for each.
            resume: Continue from there.

        Raises:
            ValueError: The frame does not fit; names column and remedy, before training starts.
            CheckpointMismatchError: A checkpoint is of another table or of other settings.
            NonFiniteLossError: Training diverged.
        """
        if resume and checkpoints is None:
            raise ValueError("there is nothing to resume from: give checkpoints")
        callbacks = check_callbacks(callbacks)
        discrete, ordinal = list(discrete_columns), list(ordinal_columns)
        seed = secrets.randbits(63) if self.random_state is None else self.random_state
        self._seeds = fitting.Seeds.of(seed)
        tell_stage(callbacks, "encoding")
        sequences = self.assembler.fit(frame)
        self.longest = int(sequences.lengths.max())
        self.calendar = self._shared_calendar(sequences)
        names = list(sequences.steps.columns)
        if self.calendar is not None:
            names = [name for name in names if name != self.assembler.index]
        paths = self._path_columns(sequences, [*discrete, *ordinal])
        others = [name for name in names if name not in paths]
        self._checkpoints, self._resume = checkpoints, resume
        if checkpoints is not None:
            self._fingerprint = {
                **fitting.table_fingerprint(frame, discrete, ordinal),
                "settings": {k: str(v) for k, v in asdict(self.settings).items()},
                "key": [str(each) for each in self.assembler.keys],
                "index": str(self.assembler.index),
                "context_columns": [str(each) for each in self.assembler.context_columns],
                "segment_size": str(self.assembler.segment_size),
                "random_state": self.random_state,
            }
        self.path_model: PathModel | None = None
        head, logs = sequences.head, []
        if paths:
            self.path_model = PathModel(self.settings.paths)
            summaries = self.path_model.learn_encoding(sequences.steps[paths], sequences.lengths)
            self._summaries = [f"path {name}" for name in summaries]
            head = head.assign(**dict(zip(self._summaries, summaries.to_numpy().T, strict=True)))
            run, source = self.path_model.prepare(
                sequences.lengths, summaries, self._seeds.training % 2**32
            )
            self._train("paths", run, source, self.settings.paths.epochs, callbacks)
            self.path_model.finish(run)
            logs += run.logs
        self.step_model: StepModel | None = None
        if others:
            self._fit_steps(sequences, paths, others, discrete, ordinal, callbacks, logs)
        tell_stage(callbacks, "heads")
        self.head_model = HeadModel(self._tabular(len(head))).fit(
            head,
            [name for name in discrete if name in head],
            [name for name in ordinal if name in head],
            checkpoints=self._part("heads"),
            resume=resume,
        )
        self.logs = logs
        self._checkpoints = None
        self.set_random_state(self._seeds.sampling)
        return self

    def _fit_steps(
        self, sequences: Sequences, paths: list[str], others: list[str],
        discrete: list[str], ordinal: list[str], callbacks: Sequence[Any], logs: list[EpochLog],
    ) -> None:  # fmt: skip
        gap = self.assembler.index if self.assembler.index in others else None
        self.step_model = StepModel(
            self.settings.steps, gap=gap, rounded=self.rounded,
            discrete_columns=[name for name in discrete if name in others],
            ordinal_columns=[name for name in ordinal if name in others],
        )  # fmt: skip
        self._conditioning = [*self.assembler.context_columns, self.assembler.length_name]
        if self.assembler.start_name is not None:
            self._conditioning.append(self.assembler.start_name)
        encoder = TableEncoder(
            [name for name in discrete if name in self._conditioning],
            [name for name in ordinal if name in self._conditioning],
        ).fit(sequences.head[self._conditioning])
        when = None
        if self.assembler.index is not None:
            when = _running(
                numbers_of(sequences.head[self.assembler.start_name]),
                np.nan_to_num(numbers_of(sequences.steps[self.assembler.index])),
                sequences.lengths,
            )
        beside = None
        if paths:
            values = sequences.steps[paths].to_numpy(dtype=np.float64)
            changes = _changes(values, sequences.lengths)
            self._beside_scale = [(each.mean(0), each.std(0) + 1e-9) for each in (values, changes)]
            beside = self._beside(sequences.steps[paths], sequences.lengths)
        run, source = self.step_model.prepare(
            sequences.steps[others], sequences.head[self._conditioning], sequences.lengths,
            encoder, when, beside, self._seeds.training % 2**32,
        )  # fmt: skip
        self._train("steps", run, source, self.settings.steps.epochs, callbacks)
        self.step_model.finish(run)
        logs += run.logs

    def _tabular(self, sequences: int) -> TabularModel:
        # Few heads are no reason to draw a million more to choose among.
        pool = int(np.clip(64 * sequences, 2**12, 2**21))
        options = CalibrationOptions(
            max_pool_rows=pool, first_rows=min(pool, 2**16), max_kept_rows=min(pool, 2**18)
        )
        head = self.settings.head
        # The more there are, the more there is to learn from them.
        more = 1 if sequences < 200 else 4 if sequences < 1000 else 12
        head = replace(head, min_steps_per_epoch=more * head.min_steps_per_epoch)
        return TabularModel(
            head,
            calibration_options=options,
            rounded=self.rounded,
            enable_gpu=self.enable_gpu,
            random_state=self._seeds.weights,
        )

    def _part(self, name: str) -> Checkpoints | None:
        """The checkpoints of one training, in a folder of their own."""
        if self._checkpoints is None:
            return None
        part = copy.copy(self._checkpoints)
        part.folder = self._checkpoints.folder / name
        return part

    def _train(
        self, name: str, run: Run, source: Any, epochs: int, callbacks: Sequence[Any]
    ) -> None:
        part, watching = self._part(name), list(callbacks)
        if part is not None:
            saved = fitting.prepare_checkpoints(
                part, {**self._fingerprint, "part": name}, False, self._resume
            )
            if saved is not None:
                run.load_state_dict(saved)
            watching.append(part)
        tell_stage(callbacks, "training")
        train(run, source, epochs, watching)

    def _shared_calendar(self, sequences: Sequences) -> pd.DataFrame | None:
        """Start and gaps that all of several sequences have in common, or None.

        Gaps that are all the same are shared, wherever sequences start and end.
        """
        index = self.assembler.index
        if index is None:
            return None
        gaps = sequences.steps[index]
        own = gaps.loc[sequences.times > 0].reset_index(drop=True)
        if len(own) and own.nunique() == 1:
            return own.iloc[:1].to_frame()
        lengths, count = sequences.lengths, len(sequences)
        starts = sequences.head[self.assembler.start_name]
        if count < 3 or len(set(lengths)) > 1 or lengths[0] < 3 or starts.nunique() > 1:
            return None
        table = own.to_numpy().reshape(count, -1)
        return own.iloc[: lengths[0] - 1].to_frame() if (table == table[0]).all() else None

    def _path_columns(self, sequences: Sequences, discrete: list[str]) -> list[str]:
        own, steps = self.settings, sequences.steps
        if np.median(sequences.lengths) < own.least_path or sequences.lengths.min() < 3:
            return []
        found = []
        for name in steps.columns:
            column = steps[name]
            if name == self.assembler.index or name in discrete or column.isna().any():
                continue
            if not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "iuf":
                continue
            if column.value_counts().iloc[0] <= own.most_frequent * len(column):
                found.append(name)
        return found

    def _beside(self, paths: pd.DataFrame, lengths: np.ndarray) -> np.ndarray:
        """What the rows of paths tell of the other columns: levels and changes, standardised."""
        values = paths.to_numpy(dtype=np.float64)
        both = [values, _changes(values, lengths)]
        return np.concatenate(
            [
                ((each - mean) / scale).clip(-4, 4)
                for each, (mean, scale) in zip(both, self._beside_scale, strict=True)
            ],
            axis=1,
        )

    def __getstate__(self) -> dict[str, Any]:
        # What a fit alone needs, and random numbers, which are no data.
        left_out = {"_checkpoints", "_resume", "_fingerprint", "_seeds", "_random"}
        state = {name: each for name, each in vars(self).items() if name not in left_out}
        if self.can_sample:
            state["_random_state"] = self._random.get_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if (random_state := self.__dict__.pop("_random_state", None)) is not None:
            self._random = torch.Generator()
            self._random.set_state(random_state)

    # ----------------------------------------------------------------- drawing

    @property
    def can_sample(self) -> bool:
        """Whether it has learned something."""
        return hasattr(self, "_random")

    def set_random_state(self, seed: int | None) -> None:
        """Start the random numbers of `sample` anew; None draws a seed."""
        seed = secrets.randbits(63) if seed is None else int(seed)
        self._random = torch.Generator().manual_seed(seed)
        self.head_model.set_random_state(seed)

    def sample(
        self,
        sequences: int,
        length: int | None = None,
        given: pd.DataFrame | None = None,
        keys: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Draw sequences; columns in the order and dtypes of the training frame.

        Args:
            sequences: How many.
            length: Steps of each, also beyond what was seen; None draws lengths.
            given: Values of context columns, a row for each sequence.
            keys: A row for each sequence; None numbers them from 0.

        Raises:
            ValueError: A given value was not in its training column; names both.
        """
        head = self.head_model.sample(sequences, given)
        name = self.assembler.length_name
        if length is not None:
            head[name] = length
        lengths = head[name].to_numpy().astype(np.int64)
        total, parts = int(lengths.sum()), []
        paths = None
        if self.path_model is not None:
            told = head[self._summaries]
            told.columns = pd.Index(self.path_model.encoder.summaries)
            paths = self.path_model.sample(told, lengths, self._random)
            parts.append(paths)
        if self.step_model is not None:
            starts = None
            if self.assembler.start_name is not None:
                starts = numbers_of(head[self.assembler.start_name])
            parts.append(
                self.step_model.sample(
                    self._known_head(head),
                    lengths,
                    self._random,
                    starts,
                    None if paths is None else self._beside(paths, lengths),
                    numbers_of,
                )
            )
        steps = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(total))
        if self.calendar is not None:
            steps[self.assembler.index] = self._calendar_gaps(lengths)
        return self.assembler.frame(head, steps, keys)

    def continued(self, prefix: pd.DataFrame, steps: int) -> pd.DataFrame:
        """How given sequences go on.

        Args:
            prefix: Rows of sequences, with the columns of the training frame.
            steps: How many follow each of them.

        Returns:
            The rows that follow, with the keys and contexts of the given ones.

        Raises:
            ValueError: The prefix does not fit; names column and remedy.
        """
        if steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, not {steps}")
        absent = [name for name in self.assembler.names if name not in prefix]
        if absent:
            raise ValueError(f"column {absent[0]!r} is not in the prefix: add it")
        found = self.assembler.assemble(prefix[self.assembler.names], cut=False)
        lengths, head = found.lengths, found.head.copy()
        more = np.full(len(lengths), steps)
        whole, index = lengths + steps, self.assembler.index
        head[self.assembler.length_name] = whole
        parts, beside = [], None
        if self.path_model is not None:
            names = self.path_model.encoder.names
            given = found.steps[names]
            paths = self.path_model.continued(given, lengths, steps, self._random)
            parts.append(paths)
            beside = self._beside(_woven(given, lengths, paths, more), whole) if (
                self.step_model is not None
            ) else None  # fmt: skip
        starts = when = None
        if index is not None:
            starts = numbers_of(head[self.assembler.start_name])
            gaps = np.nan_to_num(numbers_of(found.steps[index]))
            when = _running(starts, gaps, lengths)
        if self.step_model is not None:
            given = found.steps[self.step_model.encoder.names]
            parts.append(
                self.step_model.sample(
                    self._known_head(head), whole, self._random, starts, beside, numbers_of,
                    (given, lengths, when),
                )
            )  # fmt: skip
        new = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(int(more.sum())))
        if self.calendar is not None:
            behind = _behind(lengths, whole)
            new[index] = self._calendar_gaps(whole).loc[behind].reset_index(drop=True)
        frame = self.assembler.frame(head, _woven(found.steps, lengths, new, more), found.keys)
        return frame.loc[_behind(lengths, whole)].reset_index(drop=True)

    def _calendar_gaps(self, lengths: np.ndarray) -> pd.Series:
        """The shared gaps, from the beginning again behind their end."""
        assert self.calendar is not None
        times = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.maximum(times - 1, 0) % len(self.calendar)
        return self.calendar.iloc[places, 0].reset_index(drop=True)

    def _known_head(self, head: pd.DataFrame) -> pd.DataFrame:
        """Heads in values that their encoder knows: the nearest ones of numbers."""
        assert self.step_model is not None
        encoder, known = self.step_model.head_encoder, head[self._conditioning].copy()
        for column in [*encoder.columns, *(each.column for each in encoder.derived)]:
            if isinstance(column, NumericColumn) and not column.has_positions:
                values = column.decode(np.arange(len(column.atoms)))
                numbers, own = numbers_of(values), numbers_of(known[column.name])
                present = ~np.isnan(own)
                places = np.searchsorted(numbers, own[present]).clip(1, max(len(numbers) - 1, 1))
                nearer = own[present] - numbers[places - 1] < numbers[
                    places.clip(0, len(numbers) - 1)
                ] - own[present]  # fmt: skip
                chosen = np.where(nearer, places - 1, places.clip(0, len(numbers) - 1))
                series = known[column.name].copy()
                taken = values.iloc[chosen].to_numpy()
                series = series.astype(values.dtype) if present.all() else series
                series.loc[present] = taken
                known[column.name] = series
        return known


def numbers_of(column: pd.Series) -> np.ndarray:
    """An index or its gaps as float64; times in days; NaN where they are missing."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if column.dtype.kind in "mM":
        kind = f"{column.dtype.kind}8[ns]"
        values = column.to_numpy().astype(kind)
        numbers = values.astype(np.int64) / (24 * 3600e9)
        return np.where(np.isnat(values), np.nan, numbers)
    return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)


def _running(starts: np.ndarray, gaps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Starts and the sums of gaps up to each step."""
    begins = np.cumsum(lengths) - lengths
    gaps = gaps.copy()
    gaps[begins] = 0.0
    sums = gaps.cumsum()
    return np.repeat(starts - sums[begins], lengths) + sums


def _changes(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    changes = np.diff(values, axis=0, prepend=values[:1])
    changes[np.cumsum(lengths) - lengths] = 0.0
    return changes


def _behind(first: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Steps behind the first so many of each sequence, a mask."""
    times = np.arange(int(whole.sum())) - np.repeat(np.cumsum(whole) - whole, whole)
    return times >= np.repeat(first, whole)


def _woven(
    given: pd.DataFrame, lengths: np.ndarray, new: pd.DataFrame, more: np.ndarray
) -> pd.DataFrame:
    """The given steps of each sequence, and the new ones behind them."""
    owners = [np.repeat(np.arange(len(each)), each) for each in (lengths, more)]
    order = np.argsort(np.concatenate(owners), kind="stable")
    both = pd.concat([given[list(new.columns)], new], ignore_index=True)
    return both.iloc[order].reset_index(drop=True)


__all__ = ["SequenceModel", "SequenceSettings"]
