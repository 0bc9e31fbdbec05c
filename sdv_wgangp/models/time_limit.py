"""A limit of time: how long what follows the training takes, and when the training has to end."""

from __future__ import annotations

import time
import warnings

import torch

from sdv_wgangp.calibration.calibrate import calibrate
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.fitting import SamplerOf
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.training.callbacks.deadline import Deadline
from sdv_wgangp.training.validation import EarlyStopping


def rehearse(
    training: TableTraining,
    table: EncodedTable,
    encoder: TableEncoder,
    sampler_of: SamplerOf,
    stopping: EarlyStopping | None,
    max_seconds: float,
    options: CalibrationOptions,
    parts: tuple[float, float] = (1 / 8, 1 / 2),
    most: float = 0.1,
    margin: float = 1.5,
) -> float:
    """Seconds that what follows the training will take, from rough calibrations.

    Args:
        training: Not begun yet.
        table: The training rows.
        encoder: Of the table.
        sampler_of: Of its generator.
        stopping: Whose last check follows the training, too.
        max_seconds: Of all of the fit.
        options: Of the calibration.
        parts: Of the rows that it generates, which it is timed with. The second only where it
            takes little of the time there is: a small table takes as long for a part as for all.
        most: That much of ``max_seconds``.
        margin: So many times longer it takes where few rows of a trained generator are kept.
    """
    generator = training.preview()
    sampler = sampler_of(generator)

    def seconds(part: float) -> float:
        started = time.perf_counter()
        random = torch.Generator(sampler.device).manual_seed(0)
        calibrate(
            *(table, encoder, lambda rows: sampler.draw(rows, random), random),
            fraction=part,
            options=options,
        )
        return time.perf_counter() - started

    less, more = parts
    found = seconds(less)
    whole = found / less
    if found * more / less <= most * max_seconds:
        longer = seconds(more)
        whole = longer + max(longer - found, 0.0) / (more - less) * (1 - more)
    checked = time.perf_counter()
    if stopping is not None:
        stopping.score(generator)
    return margin * whole + time.perf_counter() - checked


def deadline(started: float, max_seconds: float, ending: float, least: float = 0.1) -> Deadline:
    """Ends the training when there is just time for what follows it.

    Args:
        started: When the fit began, by `time.perf_counter`.
        max_seconds: Of all of it.
        ending: Seconds that what follows will take.
        least: The training has at least this part of ``max_seconds``.

    Warns:
        UserWarning: There is hardly any time for the training: it has some all the same.
    """
    before = time.perf_counter() - started
    seconds, some = max_seconds - before - ending, least * max_seconds
    if seconds < some:
        warnings.warn(
            f"max_seconds ({max_seconds:g}) is short: what comes before the training took "
            f"{before:.1f} s and the calibration takes about {ending:.1f} s, so the training has "
            f"{some:.1f} s and the fit takes about {before + some + ending:.1f} s; give more",
            stacklevel=3,
        )
    return Deadline(max(seconds, some))
