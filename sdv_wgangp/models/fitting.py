"""What a fit does around its training: seeds, checks, checkpoints, held-out rows, time."""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from sdv_wgangp.calibration.calibrate import calibrate
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.fingerprint import digest_of
from sdv_wgangp.models.sampler import Sampler
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.callbacks.deadline import Deadline
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.validation import EarlyStopping, HeldOutScore
from sdv_wgangp.training.watchers import tell_stage

# The calibration is timed before training on an eighth of the rows that it generates, and, where
# that costs little of the time there is, on half of them: a small table takes as long for a part
# as for the whole. A trained generator, of which fewer rows are kept, may need more.
REHEARSED_PARTS = 1 / 8, 1 / 2
REHEARSAL_MARGIN = 1.5
# Of the time that is given the second rehearsal may take this much,
REHEARSED_TIME = 0.1
# and the training has at least this much.
LEAST_TRAINING = 0.1

# Makes the sampler of a generator.
SamplerOf = Callable[[Generator], Sampler]


class Seeds(NamedTuple):
    """Seeds of what is random in a fit, all drawn from one."""

    encoding: int
    weights: int
    training: int
    sampling: int
    held_out: int
    reference: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Of a fit with this seed.

        Example:
            >>> Seeds.of(0) == Seeds.of(0)
            True
        """
        drawn = np.random.SeedSequence(seed).generate_state(6, np.uint64) >> np.uint64(1)
        return cls(*map(int, drawn))


def check_settings(settings: TrainingSettings, pac: int) -> None:
    """Refuse what cannot be trained with, before anything is done.

    Raises:
        ValueError: Of batches that do not fit; names the setting.
    """
    if settings.batch_size % pac:
        raise ValueError(f"batch_size ({settings.batch_size}) must be a multiple of pac ({pac})")
    if settings.batch_size < 2:
        raise ValueError("batch_size must be at least 2: the generator normalises batches")
    if settings.meta_features:
        settings.check_sample_size(pac)


def table_fingerprint(
    frame: pd.DataFrame, discrete: Iterable[str], ordinal: Iterable[str]
) -> dict[str, Any]:
    """What a training depends on of its table."""
    return {
        "table": digest_of(frame),
        "discrete_columns": sorted(map(str, discrete)),
        "ordinal_columns": sorted(map(str, ordinal)),
    }


def name_of(function: Callable | None) -> str | None:
    """The same in every process, unlike its address; None of None."""
    if function is None:
        return None
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def prepare_checkpoints(
    checkpoints: Checkpoints, fingerprint: dict[str, Any], any_threads: bool, resume: bool
) -> dict[str, Any] | None:
    """The newest state to resume from, if there is one; makes room for those to come.

    Args:
        checkpoints: Where they are.
        fingerprint: What they have to agree in.
        any_threads: Whether they may have been made with another number of threads.
        resume: Whether to look for one.

    Raises:
        CheckpointMismatchError: What was found is of another training; names what differs.
    """
    checkpoints.fingerprint, checkpoints.any_threads = fingerprint, any_threads
    saved = checkpoints.load() if resume else None
    checkpoints.prepare(0 if saved is None else saved["step"])
    return saved


def hold_out(table: EncodedTable, rows: int, seed: int) -> tuple[EncodedTable, EncodedTable]:
    """So many rows at random, and the others in their order.

    Args:
        table: The training rows.
        rows: How many are held out.
        seed: Of the choice.
    """
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    return table.rows(order[:rows]), table.rows(order[rows:].sort().values)


def early_stopping(
    training: TableTraining,
    held_out: EncodedTable,
    layout: Layout,
    seed: int,
    sampler_of: SamplerOf,
    callbacks: Sequence[Any],
) -> EarlyStopping:
    """Early stopping by the score of rows that are made of the same noise every time.

    Args:
        training: What is to be stopped.
        held_out: Rows that it is not trained on.
        layout: Of the table.
        seed: Of the noise and the score.
        sampler_of: Of the generators that are scored.
        callbacks: Told of the stage.
    """
    score = HeldOutScore(held_out, layout, seed % 2**32)

    def scored(generator: nn.Module) -> float:
        tell_stage(callbacks, "validation")
        sampler = sampler_of(generator)
        random = torch.Generator(sampler.device).manual_seed(seed)
        found = score(sampler.draw(score.rows, random))
        tell_stage(callbacks, "training")
        return found

    patience = training.settings.patience
    return EarlyStopping(scored, _preview_of(training), score.noise, patience)


def _preview_of(training: TableTraining) -> Callable[[], Generator]:
    """`TableTraining.preview`, for those that its run will know of: they do not hold it, as in a
    circle the rows and the players would outlive the fit."""
    preview = weakref.WeakMethod(training.preview)
    return lambda: preview()()


def rehearse(
    training: TableTraining,
    table: EncodedTable,
    encoder: TableEncoder,
    sampler_of: SamplerOf,
    stopping: EarlyStopping | None,
    max_seconds: float,
) -> float:
    """Seconds that what follows the training will take, from rough calibrations.

    Args:
        training: Not begun yet.
        table: The training rows.
        encoder: Of the table.
        sampler_of: Of its generator.
        stopping: Whose last check follows the training, too.
        max_seconds: Of all of the fit.
    """
    generator = training.preview()
    sampler = sampler_of(generator)

    def seconds(part: float) -> float:
        started = time.perf_counter()
        random = torch.Generator(sampler.device).manual_seed(0)
        calibrate(table, encoder, lambda rows: sampler.draw(rows, random), random, part)
        return time.perf_counter() - started

    less, more = REHEARSED_PARTS
    found = seconds(less)
    whole = found / less
    if found * more / less <= REHEARSED_TIME * max_seconds:
        longer = seconds(more)
        whole = longer + max(longer - found, 0.0) / (more - less) * (1 - more)
    checked = time.perf_counter()
    if stopping is not None:
        stopping.score(generator)
    return REHEARSAL_MARGIN * whole + time.perf_counter() - checked


def deadline(started: float, max_seconds: float, ending: float) -> Deadline:
    """Ends the training when there is just time for what follows it.

    Args:
        started: When the fit began, by `time.perf_counter`.
        max_seconds: Of all of it.
        ending: Seconds that what follows will take.

    Warns:
        UserWarning: There is hardly any time for the training: it has some all the same.
    """
    before = time.perf_counter() - started
    seconds, least = max_seconds - before - ending, LEAST_TRAINING * max_seconds
    if seconds < least:
        warnings.warn(
            f"max_seconds ({max_seconds:g}) is short: what comes before the training took "
            f"{before:.1f} s and the calibration takes about {ending:.1f} s, so the training has "
            f"{least:.1f} s and the fit takes about {before + least + ending:.1f} s; give more",
            stacklevel=3,
        )
    return Deadline(max(seconds, least))
