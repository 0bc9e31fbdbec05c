"""What a synthesizer of sequences has to beat: shuffled rows, and a Gaussian copula over time.

Both return a table with the columns of the real one, to be scored as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from sdv_wgangp.reporting.scores.sequences.panel import Panel

MOST_DIMENSIONS = 1_000
MOST_STEPS = 64


def independent_rows(
    real: Panel, key: str, sequences: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Real rows in random order: all of them real, none knows the one before.

    Length, attributes and index are those of a random real sequence.

    Args:
        real: Whose rows.
        key: Name of the column that numbers the sequences.
        sequences: How many; by default as many as there are.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    count = len(real) if sequences is None else sequences
    drawn = real.take(rng.integers(0, len(real), count))
    rows = rng.integers(0, real.rows, drawn.rows)
    kept = {real.index, *real.attribute_numbers, *real.attribute_codes}
    frame = drawn.frame.copy()
    for name in frame:
        if name not in kept:
            frame[name] = real.frame[name].to_numpy()[rows]
    frame.insert(0, key, drawn.owner)
    return frame


def copula_over_time(
    real: Panel,
    key: str,
    sequences: int | None = None,
    seed: int = 0,
    most_steps: int = MOST_STEPS,
) -> pd.DataFrame:
    """A Gaussian copula over (length, attributes, column at each time), no network.

    Every column has the real marginals: at each of the first steps its own where enough sequences
    reach it, else those of all rows; and the covariance of its normal scores with all others.
    Steps that less than a twentieth of the sequences reach, and those beyond ``most_steps``, are
    continued by a vector autoregression of normal scores. The index is a start and steps.

    Args:
        real: What it is fitted to.
        key: Name of the column that numbers the sequences.
        sequences: How many; by default as many as there are.
        seed: Of all draws.
        most_steps: With a covariance of their own.
    """
    rng = np.random.default_rng(seed)
    count = len(real) if sequences is None else sequences
    columns = _over_time(real)
    names = list(columns)
    reached = (real.lengths[:, None] > np.arange(real.lengths.max())).sum(0)
    often = int((reached >= max(2, len(real) / 20)).sum())
    steps = max(1, min(often, most_steps, MOST_DIMENSIONS // max(1, len(names))))

    # Normal scores of everything, side by side: NaN after the end of a sequence.
    length = _Marginal.of(real.lengths.astype(float))
    heads = {n: _Marginal.of(v) for n, v in _heads(real).items()}
    parts = [length.scores(real.lengths.astype(float), rng)[:, None]]
    parts += [heads[n].scores(v, rng)[:, None] for n, v in _heads(real).items()]
    place = real.starts[:-1, None] + np.arange(steps)
    there = np.arange(steps) < real.lengths[:, None]
    place = np.where(there, place, 0)
    pooled, own = {}, {}
    for name, values in columns.items():
        first = values[real.starts[:-1]]
        later = values[real.position > 0]
        pooled[name] = _Marginal.of(later if len(later) and name == real.index else values)
        scores = np.full(place.shape, np.nan)
        for t in range(steps):
            now = values[place[there[:, t], t]]
            enough = t == 0 or len(now) >= 200 or len(now) == len(real)
            own[name, t] = _Marginal.of(first if t == 0 else now) if enough else pooled[name]
            scores[there[:, t], t] = own[name, t].scores(now, rng)
        parts.append(scores)
    drawn = _normal(np.concatenate(parts, axis=1), count, rng)

    lengths = np.maximum(1, length.values(drawn[:, 0])).astype(int)
    attributes = {n: heads[n].values(drawn[:, 1 + k]) for k, n in enumerate(heads)}
    paths = drawn[:, 1 + len(heads) :].reshape(count, len(names), steps)
    longest = int(lengths.max())
    if longest > steps:
        paths = _continued(real, columns, pooled, paths, longest, rng)
    within = np.arange(longest) < lengths[:, None]
    made = {}
    for k, name in enumerate(names):
        values = np.full((count, longest), np.nan)
        for t in range(longest):
            marginal = own[name, t] if t < steps else pooled[name]
            values[:, t] = marginal.values(paths[:, k, t])
        if name == real.index:
            values = np.cumsum(np.nan_to_num(values), axis=1)
        made[name] = values[within]
    return _table(real, key, lengths, made, attributes)


def _over_time(real: Panel) -> dict[str, np.ndarray]:
    """Columns as numbers, the index as its start and steps."""
    found: dict[str, np.ndarray] = {}
    for name, values in real.numbers.items():
        if name == real.index:
            steps = np.diff(values, prepend=values[:1])
            steps[real.starts[:-1]] = values[real.starts[:-1]]
            values = steps
        found[name] = values
    return found | {n: np.where(c < 0, np.nan, c) for n, c in real.codes.items()}


def _heads(real: Panel) -> dict[str, np.ndarray]:
    codes = {n: np.where(c < 0, np.nan, c) for n, c in real.attribute_codes.items()}
    return dict(real.attribute_numbers) | codes


@dataclass(frozen=True)
class _Marginal:
    """Sorted values, missing ones first; ``smooth`` where what lies between them may be drawn."""

    ordered: np.ndarray
    smooth: bool

    @classmethod
    def of(cls, values: np.ndarray) -> _Marginal:
        ordered = np.sort(np.where(np.isnan(values), -np.inf, values))
        whole = bool(np.all(ordered == np.floor(ordered)))
        distinct = len(np.unique(ordered))
        complete = bool(np.isfinite(ordered[0]))
        return cls(ordered, complete and not whole and 2 * distinct > len(ordered))

    def scores(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Normal scores; equal values are spread over theirs at random."""
        values = np.where(np.isnan(values), -np.inf, values)
        low, high = (np.searchsorted(self.ordered, values, side=s) for s in ("left", "right"))
        rank = low + rng.uniform(size=len(values)) * np.maximum(high - low, 1)
        # Of values that nothing is equal to, the middle of their rank.
        rank = np.where(high - low == 1, low + 0.5, rank)
        return norm.ppf(np.clip(rank / len(self.ordered), 1e-6, 1 - 1e-6))

    def values(self, scores: np.ndarray) -> np.ndarray:
        """The values at normal scores; missing is NaN."""
        rank = norm.cdf(scores) * len(self.ordered)
        if self.smooth:
            return np.interp(rank - 0.5, np.arange(len(self.ordered)), self.ordered)
        found = self.ordered[np.clip(rank.astype(int), 0, len(self.ordered) - 1)]
        return np.where(np.isinf(found), np.nan, found)


def _normal(scores: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of a normal distribution with the covariance of scores that may be missing."""
    there = np.isfinite(scores).astype(float)
    filled = np.where(there > 0, scores, 0.0)
    together = there.T @ there
    covariance = filled.T @ filled / np.maximum(together, 1)
    variances, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(variances, 0))
    drawn = rng.normal(size=(count, len(covariance))) @ factor.T
    # Clipping adds variance, and marginals want exactly one.
    return drawn / np.sqrt(np.maximum((factor**2).sum(1), 1e-12))


def _continued(
    real: Panel,
    columns: Mapping[str, np.ndarray],
    pooled: Mapping[str, _Marginal],
    paths: np.ndarray,
    longest: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paths ``[sequences, columns, steps]`` of normal scores, with the steps up to ``longest``."""
    scores = np.stack([pooled[n].scores(v, rng) for n, v in columns.items()], axis=1)
    rows = real.before(1)
    rows = rows[real.position[rows] > 0] if (real.position[rows] > 0).any() else rows
    weights, *_ = np.linalg.lstsq(scores[rows], scores[rows + 1], rcond=None)
    rest = scores[rows + 1] - scores[rows] @ weights
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(rest.T)))
    factor = vectors * np.sqrt(np.maximum(variances, 0))
    found, last = [paths], paths[:, :, -1]
    for _ in range(longest - paths.shape[2]):
        last = last @ weights + rng.normal(size=last.shape) @ factor.T
        found.append(last[:, :, None])
    return np.concatenate(found, axis=2)


def _table(
    real: Panel,
    key: str,
    lengths: np.ndarray,
    made: Mapping[str, np.ndarray],
    attributes: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Numbers and codes as a table with the types of the real one."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    codes = dict(real.codes) | {n: c[real.owner] for n, c in real.attribute_codes.items()}
    found = {key: pd.Series(owner)}
    for name, values in real.frame.items():
        name = str(name)
        drawn = made[name] if name in made else attributes[name][owner]
        if name in codes:
            known, first = np.unique(codes[name], return_index=True)
            levels = values.iloc[first[known >= 0]].reset_index(drop=True)
            found[name] = levels.reindex(np.where(np.isnan(drawn), -1, drawn).astype(int))
            found[name] = found[name].reset_index(drop=True)
        elif pd.api.types.is_datetime64_any_dtype(values) or values.dtype == object:
            whole = np.where(np.isnan(drawn), np.iinfo(np.int64).min, drawn).astype(np.int64)
            found[name] = pd.Series(pd.to_datetime(whole))
        elif pd.api.types.is_integer_dtype(values) and not np.isnan(drawn).any():
            found[name] = pd.Series(np.round(drawn)).astype(values.dtype)
        else:
            found[name] = pd.Series(drawn)
    return pd.DataFrame(found)
