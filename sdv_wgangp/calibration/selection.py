"""Selection of rows by their weights: with a limit on these, by chance, or so many of them."""

from __future__ import annotations

import numpy as np
import torch

from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions


def weight_limit(
    weights: np.ndarray,
    counts: np.ndarray,
    most: float = DEFAULT.max_weight,
    options: CalibrationOptions = DEFAULT,
) -> float:
    """What no weight should exceed.

    The least that cuts off no more than ``options.max_cut_off`` of their sum, at most so many
    times the mean of what it leaves of them; or the same of ``fine_cut_off`` and
    ``fine_max_weight``, if that is more.

    Args:
        weights: At least 0, ``[n]``.
        counts: How many rows each is the weight of, ``[n]``.
        most: How many times, usually ``options.max_weight``.
        options: Hyper-parameters.

    Example:
        A thousandth of the sum of 101.5 is cut off:

        >>> limit = weight_limit(np.array([1.0, 2.5]), np.array([99, 1]), most=24)
        >>> round(float(limit), 4)
        2.3985
    """
    order = weights.argsort()
    ascending, counts = weights[order], counts[order]
    rows = counts.sum()
    below = np.concatenate([[0.0], np.cumsum(counts * ascending)])
    count = rows - np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    # What each of the weights would leave as the limit. Between two of them it is linear.
    left = below[:-1] + count * ascending

    def cutting_off(fraction: float) -> float:
        wanted = (1 - fraction) * below[-1]
        place = np.searchsorted(left, wanted)
        return (wanted - below[place]) / count[place]

    def times_the_mean(times: float) -> float:
        beyond = ascending * rows > times * left
        if not beyond.any():
            return ascending[-1]
        place = beyond.argmax()
        return times * below[place] / (rows - times * count[place])

    return max(
        min(cutting_off(options.fine_cut_off), times_the_mean(options.fine_max_weight)),
        min(cutting_off(options.max_cut_off), times_the_mean(most)),
    )


def accepted(weights: np.ndarray, limit: float, random: torch.Generator) -> np.ndarray:
    """Which rows rejection sampling keeps, bool ``[n]``.

    Args:
        weights: Of the rows, ``[n]``; one at the limit or above is kept.
        limit: Of the weights.
        random: Source of the choice.
    """
    return uniform(len(weights), random) * limit < weights


def systematic(weights: np.ndarray, count: int, shift: float) -> np.ndarray:
    """So many different places with probabilities in proportion to weights ``[n]``, all positive.

    Systematic sampling (Madow 1949); a weight beyond the part of a single row counts as that.

    Args:
        weights: Of the places.
        count: How many, at most ``n``.
        shift: Uniform in [0, 1).

    Example:
        >>> systematic(np.array([1.0, 1.0, 4.0, 2.0]), 2, shift=0.5).tolist()
        [2, 3]
    """
    chances = weights * (count / weights.sum())
    while (chances > 1).any():
        sure = chances >= 1
        chances[sure] = 1
        chances[~sure] *= (count - sure.sum()) / chances[~sure].sum()
    ends = chances.cumsum()
    shift = max(shift, 1e-6)  # at 0 a place could be at an end, on either side of it
    return np.searchsorted(ends, (np.arange(count) + shift) * (ends[-1] / count), side="right")


def uniform(rows: int, random: torch.Generator) -> np.ndarray:
    """Uniform draws in [0, 1), float64 ``[rows]``, from a generator of any device."""
    draws = torch.rand(rows, device=random.device, generator=random)
    return draws.cpu().double().numpy()
