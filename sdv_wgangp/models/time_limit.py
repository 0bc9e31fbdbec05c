"""A limit of time: how long what follows the training takes, and when the training has to end."""

from __future__ import annotations

import time

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
    options: CalibrationOptions,
    part: int = 8,
    margin: float = 1.5,
) -> float:
    """Seconds that what follows the training will take, from a rough calibration.

    Args:
        training: Not begun yet.
        table: The training rows.
        encoder: Of the table.
        sampler_of: Of its generator.
        stopping: Whose last check follows the training, too.
        options: Of the calibration.
        part: What part of the rows that it generates it is timed with, 1 / part. With all of them
            it takes as many times longer ...
        margin: ... and so many times more, where few rows of a trained generator are kept.
    """
    started = time.perf_counter()
    generator = training.preview()
    sampler = sampler_of(generator)
    random = torch.Generator(sampler.device).manual_seed(0)
    calibrate(
        *(table, encoder, lambda rows: sampler.draw(rows, random), random),
        fraction=1 / part,
        options=options,
    )
    calibrated = time.perf_counter()
    if stopping is not None:
        stopping.score(generator)
    calibration = margin * part * (calibrated - started)
    return calibration + time.perf_counter() - calibrated


def deadline(started: float, max_seconds: float, ending: float) -> Deadline:
    """Ends the training when there is just time for what follows it.

    Args:
        started: When the fit began, by `time.perf_counter`.
        max_seconds: Of all of it.
        ending: Seconds that what follows will take.

    Raises:
        ValueError: There is no time for the training.
    """
    seconds = started + max_seconds - time.perf_counter() - ending
    if seconds <= 0:
        raise ValueError(
            f"max_seconds ({max_seconds:g}) leaves no time for training: encoding and calibration "
            f"take about {max_seconds - seconds:.1f} s; give more or leave it out"
        )
    return Deadline(seconds)
