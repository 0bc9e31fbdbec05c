"""A monotone map between the values of a numeric column and their ranks."""

from __future__ import annotations

import numpy as np

from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions


class QuantileMap:
    """Piecewise-linear empirical distribution function and its inverse.

    A value that many rows share is a *plateau*: an interval of ranks as long as its frequency
    among the rows, so that uniform ranks give it back as often. The other values are points at
    their mid-ranks ``(i - 1/2) / n``; ranks between two knots decode to the straight line between
    their values, those outside all of them to the smallest or largest value. Large columns keep
    ``quantile_knots``, one or two hundred in each tail and the plateaus (less than
    ``1 / min_plateau_frequency`` of them), never one knot per row.

    Integer columns are handled in integer arithmetic throughout, so values beyond 2**53 survive.

    Args:
        values: The distinct values, ascending, shape ``[m]``; float64, int64 or uint64.
        counts: Rows that hold each value, shape ``[m]``.
        options: Hyper-parameters. The tails are followed value by value, the bulk at even steps of
            rank (``quantile_knots``, ``tail_growth``).

    Attributes:
        values: Values at the knots, shape ``[k]``.
        low, high: First and last rank of each knot, shape ``[k]``; equal at a point.
    """

    def __init__(self, values: np.ndarray, counts: np.ndarray, options: EncodingOptions = DEFAULT):
        rows = int(counts.sum())
        before = np.cumsum(counts) - counts
        least = max(options.min_plateau_rows, options.min_plateau_frequency * rows)
        plateau = counts >= least
        keep = plateau.copy()
        keep[_spread(len(values), before + counts / 2, rows, options)] = True
        middle = (before + counts / 2) / rows
        low = np.where(plateau, before / rows, middle)
        high = np.where(plateau, (before + counts) / rows, middle)
        self.values, self.low, self.high = values[keep], low[keep], high[keep]
        # What lies before the first mid-rank and behind the last: uniform ranks give the mean.
        self.low[0], self.high[-1] = 0.0, 1.0

    def ranks(self, values: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
        """Rank of each value, float64, shape ``[n]``, in [0, 1].

        Values on a plateau get a uniform rank of its interval (its middle without ``random``),
        as any of them decodes to the value exactly. Values outside the fitted range get 0 or 1.
        """
        knot = np.searchsorted(self.values, values, side="right") - 1
        knot = np.clip(knot, 0, len(self.values) - 1)
        following = np.minimum(knot + 1, len(self.values) - 1)
        along = np.clip(
            _difference(values, self.values[knot])
            / np.maximum(_difference(self.values[following], self.values[knot]), 1e-300),
            0.0,
            1.0,
        )
        start = self.high[knot]
        ranks = start + along * (self.low[following] - start)
        on_knot = values == self.values[knot]
        within = 0.5 if random is None else random.random(len(values))
        inside = self.low[knot] + within * (self.high[knot] - self.low[knot])
        ranks = np.where(on_knot, inside, np.clip(ranks, 0, 1))
        ranks[values < self.values[0]] = 0.0
        ranks[values > self.values[-1]] = 1.0
        return ranks

    def quantiles(self, ranks: np.ndarray) -> np.ndarray:
        """Value at each rank, the dtype of ``values``, shape ``[n]``; the inverse of `ranks`."""
        ranks = np.clip(ranks, 0.0, 1.0)
        knot = np.clip(np.searchsorted(self.low, ranks, side="right") - 1, 0, len(self.low) - 1)
        following = np.minimum(knot + 1, len(self.low) - 1)
        gap = self.low[following] - self.high[knot]
        along = np.clip((ranks - self.high[knot]) / np.maximum(gap, 1e-300), 0.0, 1.0)
        along[(gap <= 0) | (ranks <= self.high[knot])] = 0.0
        low, high = self.values[knot], self.values[following]
        if self.values.dtype.kind == "f":
            return (1 - along) * low + along * high
        # Unsigned steps, added modulo 2**64: the range of an integer column may exceed its dtype.
        gap = high.astype(np.uint64) - low.astype(np.uint64)
        step = np.rint(along * gap.astype(np.float64))
        whole = np.where(step >= 2.0**63, 0.0, step).astype(np.uint64)
        whole = np.where(step >= 2.0**63, _beyond_63_bits(step), whole)
        return (low.astype(np.uint64) + np.minimum(whole, gap)).astype(self.values.dtype)


def _beyond_63_bits(step: np.ndarray) -> np.ndarray:
    """Floats in [2**63, 2**64] as unsigned integers; the last is taken to 2**64 - 1."""
    rest = np.clip(step - 2.0**63, 0.0, np.nextafter(2.0**63, 0))
    return rest.astype(np.uint64) + np.uint64(2**63)


def _difference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left - right`` as float64, exact before the rounding also for 64-bit integers.

    Of floats it is half of that, which cannot overflow; only ratios are taken.
    """
    if left.dtype.kind == "f":
        return left / 2 - right / 2
    negative = left < right
    # Unsigned arithmetic wraps modulo 2**64, where the true difference always fits.
    magnitude = np.where(
        negative,
        right.astype(np.uint64) - left.astype(np.uint64),
        left.astype(np.uint64) - right.astype(np.uint64),
    ).astype(np.float64)
    return np.where(negative, -magnitude, magnitude)


def _spread(distinct: int, middle: np.ndarray, rows: int, options: EncodingOptions) -> np.ndarray:
    """Indices of the distinct values that become knots: even in rank, dense in both tails."""
    step, growth = rows / options.quantile_knots, options.tail_growth
    if distinct <= options.quantile_knots or step <= 1:
        return np.arange(distinct)
    tail = np.cumsum(growth ** np.arange(np.log(step) / np.log(growth)))
    wanted = np.concatenate([tail, np.arange(0, rows, step), rows - tail])
    chosen = np.searchsorted(middle, np.sort(wanted)).clip(0, distinct - 1)
    return np.unique(np.concatenate([[0, distinct - 1], chosen]))
