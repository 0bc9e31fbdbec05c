"""Selection of rows by their weights: with a limit on these, by chance, or so many of them."""

from __future__ import annotations

import numpy as np
import torch

# A limit on the weights may cut off such a share of their sum: the distribution of the rows that
# are kept is no further from that of the weights in total variation. But it is at most so many
# times the mean weight, which is how many rows are generated for one that is kept.
CUT_OFF, MAX_WEIGHT = 0.01, 24.0
# Rare values can be all that is cut off. Where it takes few rows, less is.
FINE_CUT_OFF, FINE_MAX_WEIGHT = 0.001, 3.0


def weight_limit(weights: np.ndarray, counts: np.ndarray, most: float) -> float:
    """What no weight should exceed.

    The least that cuts off no more than `CUT_OFF` of their sum, at most so many times the mean of
    what it leaves of them; or the same of `FINE_CUT_OFF` and `FINE_MAX_WEIGHT`, if that is more.

    Args:
        weights: At least 0, ``[n]``.
        counts: How many rows each is the weight of, ``[n]``.
        most: How many times, usually `MAX_WEIGHT`.

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

    def cutting_off(share: float) -> float:
        wanted = (1 - share) * below[-1]
        place = np.searchsorted(left, wanted)
        return (wanted - below[place]) / count[place]

    def times_the_mean(times: float) -> float:
        beyond = ascending * rows > times * left
        if not beyond.any():
            return ascending[-1]
        place = beyond.argmax()
        return times * below[place] / (rows - times * count[place])

    return max(
        min(cutting_off(FINE_CUT_OFF), times_the_mean(FINE_MAX_WEIGHT)),
        min(cutting_off(CUT_OFF), times_the_mean(most)),
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

    Systematic sampling (Madow 1949); a weight beyond the share of a single row counts as that.

    Args:
        weights: Of the places.
        count: How many, at most ``n``.
        shift: Uniform in [0, 1).

    Example:
        >>> systematic(np.array([1.0, 1.0, 4.0, 2.0]), 2, shift=0.5).tolist()
        [2, 3]
    """
    shares = weights * (count / weights.sum())
    while (shares > 1).any():
        full = shares >= 1
        shares[full] = 1
        shares[~full] *= (count - full.sum()) / shares[~full].sum()
    ends = shares.cumsum()
    shift = max(shift, 1e-6)  # at 0 a place could be at an end, on either side of it
    return np.searchsorted(ends, (np.arange(count) + shift) * (ends[-1] / count), side="right")


def uniform(rows: int, random: torch.Generator) -> np.ndarray:
    """Uniform draws in [0, 1), float64 ``[rows]``, from a generator of any device."""
    draws = torch.rand(rows, device=random.device, generator=random)
    return draws.cpu().double().numpy()
