"""Modes that get lost: levels and clusters that come with less than half their share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import hypergeom
from sklearn.cluster import KMeans

from sdv_wgangp.reporting.scores.tables import NUMBERS, to_codes, to_numbers, used


@dataclass(frozen=True)
class Mode:
    """A level (missing values are one, too) or a cluster of the real rows.

    ``columns`` are the level's own, or those by which a cluster differs most from the other rows,
    with ``values`` of it: a level, None for a missing value, or "low" and "high" of a number; ""
    where a category has no level of most of the rows. ``real`` and ``synthetic`` are shares of the
    rows, ``rows`` the real ones, ``chance`` the probability of so few synthetic rows or fewer
    where nothing is lost (hypergeometric, Fisher's exact test).
    """

    kind: str
    columns: tuple[str, ...]
    values: tuple
    rows: int
    real: float
    synthetic: float
    chance: float

    @property
    def lost(self) -> bool:
        """Whether less than half of it has come."""
        return self.synthetic < self.real / 2


@dataclass(frozen=True)
class Coverage:
    """All modes of at least the least share, those that lose most first."""

    modes: tuple[Mode, ...]

    def lost(self, kind: str | None = None, chance: float = 1.0) -> tuple[Mode, ...]:
        """Modes that come with less than half their share.

        Args:
            kind: "level" or "cluster"; None for both.
            chance: Largest probability that it is one; .001 leaves out what may be chance.
        """
        return tuple(
            mode
            for mode in self.modes
            if mode.lost and mode.chance <= chance and kind in (None, mode.kind)
        )


def coverage(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    clusters: int = 20,
    least: float = 0.005,
    most_rows: int = 50_000,
    seed: int = 0,
) -> Coverage:
    """How much of each level and each cluster of the real rows has come.

    Clusters are those of k-means among the real rows' ranks, whitened: a number's rank among the
    real values, a category's in the order of frequency, both in [0, 1], missing values first;
    then the directions of their covariance, each scaled to variance 1. A synthetic row belongs to
    the nearest cluster. Directions without variance (of constants, and of columns that repeat
    each other) are left out.

    Args:
        real: Real rows.
        synthetic: Synthetic ones; or held-out ones, to see what chance gives.
        columns: ``name -> sdtype``.
        clusters: How many.
        least: Share of the real rows that a mode has at least.
        most_rows: Real rows that clusters are found in.
        seed: Of k-means.

    Example:
        >>> real = pd.DataFrame({"flag": ["up"] * 90 + ["down"] * 10})
        >>> found = coverage(real, real[:93], {"flag": "categorical"}, clusters=2)
        >>> [(mode.kind, mode.values, round(mode.synthetic, 3)) for mode in found.lost("level")]
        [('level', ('down',), 0.032)]
    """
    columns = used(columns, real, synthetic)
    modes = _levels(real, synthetic, columns, least)
    modes += _clusters(real, synthetic, columns, clusters, least, most_rows, seed)
    return Coverage(tuple(sorted(modes, key=lambda mode: mode.synthetic / mode.real)))


def _levels(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: Mapping[str, str], least: float
) -> list[Mode]:
    found = []
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            codes = [real[name].isna().to_numpy() - 1, synthetic[name].isna().to_numpy() - 1]
            values: list = [None]
        else:
            codes, values = to_codes([real[name], synthetic[name]])
            codes = [np.where(code < 0, len(values), code) for code in codes]
            values = [*values, None]
        counts = [np.bincount(code[code >= 0], minlength=len(values)) for code in codes]
        for place in np.flatnonzero(counts[0] >= max(least * len(real), 1)):
            had, got = (int(count[place]) for count in counts)
            found.append(
                _mode("level", (name,), (values[place],), had, len(real), got, len(synthetic))
            )
    return found


def _mode(
    kind: str, columns: tuple, values: tuple, had: int, real: int, got: int, synthetic: int
) -> Mode:
    chance = float(hypergeom.cdf(got, real + synthetic, had + got, synthetic))
    return Mode(kind, columns, values, had, had / real, got / synthetic, chance)


def _ranks(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: Mapping[str, str]
) -> list[np.ndarray]:
    """Of both tables among the real rows, in [0, 1], missing values first, ``[rows, columns]``."""
    parts: list[list[np.ndarray]] = [[], []]
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            pair = [to_numbers(table[name], sdtype) for table in (real, synthetic)]
        else:
            codes, levels = to_codes([real[name], synthetic[name]])
            counts = np.bincount(codes[0][codes[0] >= 0], minlength=len(levels))
            order = np.full(len(levels) + 1, np.nan)
            order[np.argsort(-counts, kind="stable")] = np.arange(len(levels))
            pair = [order[code] for code in codes]
        pair = [np.where(np.isnan(column), -np.inf, column) for column in pair]
        values = np.sort(pair[0])
        for part, column in zip(parts, pair, strict=True):
            low, high = (np.searchsorted(values, column, side) for side in ("left", "right"))
            part.append((low + high) / (2 * len(values)))
    return [np.column_stack(part) for part in parts]


def _clusters(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    clusters: int,
    least: float,
    most_rows: int,
    seed: int,
) -> list[Mode]:
    ranks, others = _ranks(real, synthetic, columns)
    centre = ranks.mean(axis=0)
    covariance = (ranks - centre).T @ (ranks - centre) / len(ranks)
    variances, directions = np.linalg.eigh(covariance)
    if variances[-1] < 1e-12:
        return []  # every column is constant
    kept = variances > 1e-4 * variances[-1]
    whitening = directions[:, kept] / np.sqrt(variances[kept])
    points, asked = (ranks - centre) @ whitening, (others - centre) @ whitening
    rng = np.random.default_rng(seed)
    some = points
    if len(points) > most_rows:
        some = points[np.sort(rng.choice(len(points), most_rows, replace=False))]
    count = min(clusters, len(np.unique(some, axis=0)))
    means = KMeans(count, n_init=3, random_state=seed).fit(some)
    own, theirs = means.predict(points), means.predict(asked)
    had, got = (np.bincount(each, minlength=count) for each in (own, theirs))
    found = []
    for cluster in np.flatnonzero(had >= max(least * len(real), 1)):
        names, values = _description(real, ranks, own == cluster, columns)
        counts = int(had[cluster]), len(real), int(got[cluster]), len(synthetic)
        found.append(_mode("cluster", names, values, *counts))
    return found


def _description(
    real: pd.DataFrame,
    ranks: np.ndarray,
    inside: np.ndarray,
    columns: Mapping[str, str],
    most: int = 3,
) -> tuple[tuple[str, ...], tuple]:
    """The columns by which some rows differ most from all, and what they have there."""
    spread = ranks.std(axis=0)
    differs = ranks[inside].mean(axis=0) - ranks.mean(axis=0)
    differs = np.where(spread > 0, differs / np.where(spread > 0, spread, 1), 0)
    names: list[str] = []
    values: list = []
    for place in np.argsort(-np.abs(differs), kind="stable")[:most]:
        if abs(differs[place]) < 0.5 and names:
            break
        name = list(columns)[place]
        names.append(name)
        if columns[name] in NUMBERS:
            values.append("high" if differs[place] > 0 else "low")
            continue
        levels = real.loc[inside, name].value_counts(dropna=False, normalize=True)
        common = levels.index[0] if levels.iloc[0] > 0.5 else ""
        values.append(None if pd.isna(common) else common)
    return tuple(names), tuple(values)
