"""Numeric columns of sequences as stationary channels with a level and a scale of their own.

Pooled over sequences, a series of prices has steps of every size: what is small for one sequence
is large for another, and most of what values differ in is the level. Per sequence, a channel is
therefore its steps or its values, less their mean and over their standard deviation; both are told
apart, for the head (the device of DoppelGANger, Lin et al. 2020, section 4.1.2, with mean and
standard deviation in the place of least and largest value, which would give away extremes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from sdv_wgangp.encoding.grid import Grid, decimals_of
from sdv_wgangp.encoding.quantiles import QuantileMap

# A column is a walk where its steps have less than this share of its variance within sequences, or
# than these times what they have of it in a random walk of as many steps, 6 / T.
WALK, WALKS = 0.1, 1.5
# And that what remains beside another column has, below which it is told relative to that.
BESIDE = 0.2
# Steps beyond this many are no news about the spread of a normal score.
LARGEST_SCORE = 4.0


@dataclass
class Channel:
    """How one column is told.

    Attributes:
        name: Of the column.
        log: Whether of its logarithm.
        beside: The column it is relative to; None for none.
        above, below: Columns that it is never less, or never greater than: it is told by how far
            it is from the greatest, or the least, of them.
        grid: Steps that its values keep to, integers alone; None for none.
        walk: Whether by its steps.
        low, high: Range of the column.
        decimals: Of its values; None for any.
        dtype: Of the column.
        scores: Ranks of the normalised channel.
    """

    name: str
    log: bool
    beside: str | None
    walk: bool
    low: float
    high: float
    decimals: int | None
    dtype: np.dtype
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    grid: Grid | None = None
    scores: QuantileMap | None = None


class PathEncoder:
    """Paths of numeric columns as normal scores of channels, levels and scales, and back.

    Columns that always equal another one are rebuilt, and orders between columns that all rows
    keep are kept.

    Attributes:
        channels: One for each column that is told.
        summaries: Names of what the head has to tell: per channel where the column starts (of a
            walk), the mean, and the logarithm of the standard deviation.

    Example:
        >>> time = np.arange(40.0).reshape(2, 20)
        >>> frame = pd.DataFrame({"x": (10 + time + np.sin(time)).ravel()})
        >>> encoder = PathEncoder().fit(frame, np.array([20, 20]))
        >>> scores, summaries = encoder.encode(frame, np.array([20, 20]))
        >>> scores.shape, list(summaries.columns)
        ((40, 1), ['x.start', 'x.mean', 'x.scale'])
        >>> back = encoder.decode(scores, summaries, np.array([20, 20]))
        >>> bool(np.allclose(back.x, frame.x, atol=0.05))
        True
    """

    def fit(self, steps: pd.DataFrame, lengths: np.ndarray) -> PathEncoder:
        """Learn how each column is told.

        Args:
            steps: Numeric columns without missing values, sequences one behind the other.
            lengths: Of the sequences.
        """
        self.names = list(steps.columns)
        values = {name: steps[name].to_numpy(dtype=np.float64) for name in self.names}
        self.equal: dict[str, str] = {}
        told: list[str] = []
        for name in self.names:
            same = next((one for one in told if np.array_equal(values[one], values[name])), None)
            if same is None:
                told.append(name)
            else:
                self.equal[name] = same
        self.orders = [
            (low, high)
            for low in told
            for high in told
            if low != high and (values[low] <= values[high]).all()
        ]
        self.channels: list[Channel] = []
        # Those that bound many others come last: they are told relative to these.
        bounds = {name: sum(name in pair for pair in self.orders) for name in told}
        for name in sorted(told, key=lambda each: bounds[each]):
            self.channels.append(self._channel(steps[name], values, lengths))
        for place, raw in enumerate(self._raw(values, lengths)):
            normal, _, _ = _normalised(raw, lengths, self.channels[place].walk)
            known = normal[_inner(lengths)] if self.channels[place].walk else normal
            distinct, counts = np.unique(known, return_counts=True)
            self.channels[place].scores = QuantileMap(distinct, counts)
        return self

    def _channel(
        self, column: pd.Series, values: dict[str, np.ndarray], lengths: np.ndarray
    ) -> Channel:
        name = str(column.name)
        own = values[name]
        log = bool(own.min() > 0)
        told = np.log(own) if log else own
        within = _variance_within(told, lengths)
        beside = None
        above, below = self._bounds(name, log)
        for other in [] if above or below else self.channels:
            if other.beside is None and other.log == log and other.walk:
                reference = values[other.name]
                rest = told - (np.log(reference) if log else reference)
                if _variance_within(rest, lengths) < BESIDE * within:
                    beside, told = other.name, rest
                    within = _variance_within(told, lengths)
                    break
        if above or below:
            told = self._distance(told, values, above, below, log)
        inner = _inner(lengths)
        changes = np.diff(told, prepend=told[0])[inner]
        share = max(WALK, WALKS * 6 / float(np.median(lengths)))
        walk = bool(np.mean(changes**2) < share * within) if len(changes) else False
        dtype, distinct = column.to_numpy().dtype, np.unique(column.to_numpy())
        grid = Grid.of(distinct.astype(np.int64)) if dtype.kind in "iu" else None
        decimals = decimals_of(distinct.astype(np.float64), np.dtype(np.float64))
        return Channel(
            name, log, beside, walk and not (above or below), own.min(), own.max(), decimals,
            dtype, above, below, grid,
        )  # fmt: skip

    def _bounds(self, name: str, log: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns told before that are never greater, or else those that are never less."""
        known = [channel.name for channel in self.channels if channel.log == log]
        above = tuple(each for each in known if (each, name) in self.orders)
        below = tuple(each for each in known if (name, each) in self.orders)
        return ((), ()) if above and below else (above, below)

    @staticmethod
    def _distance(
        told: np.ndarray, values: dict[str, np.ndarray], above: tuple[str, ...],
        below: tuple[str, ...], log: bool,
    ) -> np.ndarray:  # fmt: skip
        """How far a column is from its bound; both on the scale they are told on."""
        bounds = np.stack([values[each] for each in (above or below)])
        bounds = np.log(np.maximum(bounds, 1e-300)) if log else bounds
        return told - bounds.max(0) if above else bounds.min(0) - told

    def _raw(self, values: dict[str, np.ndarray], lengths: np.ndarray) -> list[np.ndarray]:
        """The column of each channel on the scale it is told on, before any normalisation."""
        found = []
        for channel in self.channels:
            told = values[channel.name]
            told = np.log(np.maximum(told, channel.low)) if channel.log else told
            if channel.above or channel.below:
                told = self._distance(told, values, channel.above, channel.below, channel.log)
            elif channel.beside is not None:
                other = values[channel.beside]
                least = next(c.low for c in self.channels if c.name == channel.beside)
                told = told - (np.log(np.maximum(other, least)) if channel.log else other)
            found.append(told)
        return found

    @property
    def summaries(self) -> list[str]:
        return [
            f"{channel.name}.{what}"
            for channel in self.channels
            for what in (("start", "mean", "scale") if channel.walk else ("mean", "scale"))
        ]

    def encode(self, steps: pd.DataFrame, lengths: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Normal scores ``[steps, channels]``, and a row of summaries for each sequence.

        The score of a walk's first step is 0: there is no step before it.
        """
        values = {name: steps[name].to_numpy(dtype=np.float64) for name in self.names}
        begins = np.cumsum(lengths) - lengths
        scores, told = np.zeros((len(steps), len(self.channels))), {}
        for place, raw in enumerate(self._raw(values, lengths)):
            channel = self.channels[place]
            normal, means, scales = _normalised(raw, lengths, channel.walk)
            assert channel.scores is not None
            ranks = channel.scores.ranks(normal)
            scores[:, place] = ndtri(ranks.clip(1e-6, 1 - 1e-6)).clip(
                -LARGEST_SCORE, LARGEST_SCORE
            )
            if channel.walk:
                scores[begins, place] = 0.0
                told[f"{channel.name}.start"] = raw[begins]
            told[f"{channel.name}.mean"] = means
            told[f"{channel.name}.scale"] = np.log(scales)
        return scores, pd.DataFrame(told)

    def decode(
        self,
        scores: np.ndarray,
        summaries: pd.DataFrame,
        lengths: np.ndarray,
        renormalise: bool = True,
    ) -> pd.DataFrame:
        """The columns behind scores and summaries.

        Args:
            scores, summaries, lengths: As `encode` gives them.
            renormalise: Give the channels of each sequence the mean and the standard deviation
                that its summaries tell; not those of parts of sequences.
        """
        owners = np.repeat(np.arange(len(lengths)), lengths)
        begins = np.cumsum(lengths) - lengths
        built: dict[str, np.ndarray] = {}
        raws: dict[str, np.ndarray] = {}
        for place, channel in enumerate(self.channels):
            assert channel.scores is not None
            normal = channel.scores.quantiles(ndtr(scores[:, place]))
            if renormalise:
                normal = _renormalised(normal, lengths, channel.walk)
            means = summaries[f"{channel.name}.mean"].to_numpy()[owners]
            scales = np.exp(summaries[f"{channel.name}.scale"].to_numpy())[owners]
            raw = means + scales * normal
            if channel.walk:
                raw[begins] = 0.0
                sums = raw.cumsum()
                starts = summaries[f"{channel.name}.start"].to_numpy()
                raw = sums - np.repeat(sums[begins], lengths) + starts[owners]
            if channel.above:
                raw = np.maximum.reduce([raws[each] for each in channel.above]) + raw.clip(0)
            elif channel.below:
                raw = np.minimum.reduce([raws[each] for each in channel.below]) - raw.clip(0)
            elif channel.beside is not None:
                raw = raw + raws[channel.beside]
            raws[channel.name] = raw
            value = np.exp(raw.clip(-700, 700)) if channel.log else raw
            built[channel.name] = value.clip(channel.low, channel.high)
        for low, high in self.orders:
            built[high] = np.maximum(built[low], built[high])
        frame = {}
        for name in self.names:
            channel = next(c for c in self.channels if c.name == self.equal.get(name, name))
            value = built[channel.name]
            if channel.decimals is not None:
                value = value.round(channel.decimals)
            if channel.grid is not None:
                value = channel.grid.snap(value.astype(np.int64))
            elif channel.dtype.kind in "iu":
                value = np.rint(value)
            frame[name] = value.astype(channel.dtype)
        return pd.DataFrame(frame)


def _inner(lengths: np.ndarray) -> np.ndarray:
    """The steps that have one before them, a mask."""
    inner = np.ones(int(lengths.sum()), dtype=bool)
    inner[np.cumsum(lengths) - lengths] = False
    return inner


def _moments(values: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each sequence."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    counts = np.maximum(lengths, 1)
    means = np.bincount(owners, values, len(lengths)) / counts
    squares = np.bincount(owners, (values - means[owners]) ** 2, len(lengths)) / counts
    return means, np.sqrt(squares)


def _variance_within(values: np.ndarray, lengths: np.ndarray) -> float:
    means, _ = _moments(values, lengths)
    return float(np.mean((values - np.repeat(means, lengths)) ** 2)) + 1e-300


def _normalised(
    raw: np.ndarray, lengths: np.ndarray, walk: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A channel less its mean over its scale, and these of each sequence."""
    if not walk:
        means, scales = _moments(raw, lengths)
        owners = np.repeat(np.arange(len(lengths)), lengths)
    else:
        inner = _inner(lengths)
        raw = np.diff(raw, prepend=raw[:1])
        means, scales = _moments(raw[inner], np.maximum(lengths - 1, 0))
        owners = np.repeat(np.arange(len(lengths)), lengths)
        raw = np.where(inner, raw, means[owners])
    least = max(1e-9, 1e-3 * float(np.median(scales)))
    scales = np.maximum(scales, least)
    return (raw - means[owners]) / scales[owners], means, scales


def _renormalised(normal: np.ndarray, lengths: np.ndarray, walk: bool) -> np.ndarray:
    """With mean 0 and standard deviation 1 in each sequence of at least three steps."""
    inner = _inner(lengths) if walk else np.ones(len(normal), dtype=bool)
    counts = np.maximum(lengths - 1, 0) if walk else lengths
    means, scales = _moments(normal[inner], counts)
    short = (counts < 3) | (scales < 1e-9)
    means, scales = np.where(short, 0.0, means), np.where(short, 1.0, scales)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return (normal - means[owners]) / scales[owners]
