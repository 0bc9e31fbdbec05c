"""Whether boosted trees tell sequences from real ones: by rows, pairs, summaries, windows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sdv_wgangp.reporting.scores.classifiers import histogram_boosting
from sdv_wgangp.reporting.scores.sequences.dependence import changes
from sdv_wgangp.reporting.scores.sequences.marginals import distinct_levels, moments
from sdv_wgangp.reporting.scores.sequences.panel import Panel
from sdv_wgangp.reporting.scores.tables import MAX_LEVELS
from sdv_wgangp.statistics.two_sample import cross_fitted

KINDS = ("rows", "pairs", "sequences", "windows")
MOST_ROWS = 50_000
LEAST_SEQUENCES = 20
COMPONENTS = 20  # of principal components of a window


class Features(NamedTuple):
    """What trees are fed.

    Attributes:
        values: ``[n, features]``; NaN where missing.
        categorical: Which of them are codes, ``[features]``.
        owner: The sequence of each, ``[n]``.
        names: Of the features.
    """

    values: np.ndarray
    categorical: np.ndarray
    owner: np.ndarray
    names: tuple[str, ...]


class _Columns:
    """Features one by one."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.categorical: list[bool] = []
        self.names: list[str] = []

    def number(self, name: str, values: np.ndarray) -> None:
        self.values.append(np.where(np.isfinite(values), values, np.nan))
        self.categorical.append(False)
        self.names.append(name)

    def code(self, name: str, codes: np.ndarray) -> None:
        capped = np.minimum(codes, MAX_LEVELS - 1).astype(float)
        self.values.append(np.where(codes < 0, np.nan, capped))
        self.categorical.append(True)
        self.names.append(name)

    def attributes(self, panel: Panel, owner: np.ndarray) -> None:
        for name, values in panel.attribute_numbers.items():
            self.number(name, values[owner])
        for name, codes in panel.attribute_codes.items():
            self.code(name, codes[owner])

    def done(self, owner: np.ndarray) -> Features:
        stacked = np.stack(self.values, axis=1) if self.values else np.zeros((len(owner), 0))
        return Features(stacked, np.array(self.categorical, bool), owner, tuple(self.names))


def row_features(panel: Panel) -> Features:
    """Every row, with the attributes of its sequence."""
    found = _Columns()
    for name, values in panel.numbers.items():
        found.number(name, values)
    for name, codes in panel.codes.items():
        found.code(name, codes)
    found.attributes(panel, panel.owner)
    return found.done(panel.owner)


def pair_features(panel: Panel) -> Features:
    """Every row with the next one of its sequence, and the differences of its numbers."""
    found, rows = _Columns(), panel.before(1)
    for name, values in panel.numbers.items():
        found.number(name, values[rows])
        found.number(f"next {name}", values[rows + 1])
        found.number(f"change of {name}", values[rows + 1] - values[rows])
    for name, codes in panel.codes.items():
        found.code(name, codes[rows])
        found.code(f"next {name}", codes[rows + 1])
    found.attributes(panel, panel.owner[rows])
    return found.done(panel.owner[rows])


def one_of_each(features: Features, seed: int = 0) -> Features:
    """One of the rows or pairs of each sequence, and nothing that is computed of two rows."""
    order = np.random.default_rng(seed).permutation(len(features.owner))
    _, first = np.unique(features.owner[order], return_index=True)
    kept = [k for k, name in enumerate(features.names) if not name.startswith("change of ")]
    names = tuple(features.names[k] for k in kept)
    rows = order[first]
    return Features(
        features.values[rows][:, kept], features.categorical[kept], features.owner[rows], names
    )


def sequence_features(panel: Panel, with_attributes: bool = True) -> Features:
    """A row for each sequence: length, and of each column what sums it up.

    Of numbers mean, sd, least, greatest, first and last value, mean, sd and mean size of changes,
    share without change, lag-1 autocorrelation; of categories how many there are, how often they
    stay, the most frequent, the first and the last; and the attributes.
    """
    found = _Columns()
    everyone = np.arange(len(panel))
    first, last = panel.starts[:-1], panel.starts[1:] - 1
    found.number("length", panel.lengths.astype(float))
    rows = panel.before(1)
    of = panel.owner[rows]
    steps = np.bincount(of, minlength=len(panel))
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, values in panel.numbers.items():
            mean, sd = moments(panel, values)
            moved = changes(panel, values)
            step_mean, step_sd = moments(panel, moved)
            found.number(f"mean of {name}", mean)
            found.number(f"sd of {name}", sd)
            filled = np.where(np.isfinite(values), values, np.inf)
            found.number(f"least {name}", np.minimum.reduceat(filled, first))
            filled = np.where(np.isfinite(values), values, -np.inf)
            found.number(f"greatest {name}", np.maximum.reduceat(filled, first))
            found.number(f"first {name}", values[first])
            found.number(f"last {name}", values[last])
            found.number(f"mean change of {name}", step_mean)
            found.number(f"sd of changes of {name}", step_sd)
            found.number(f"mean size of changes of {name}", moments(panel, np.abs(moved))[0])
            still = np.bincount(of, moved[rows + 1] == 0, len(panel)) / steps
            found.number(f"share of {name} that stays", still)
            centred = np.nan_to_num((values - mean[panel.owner]) / sd[panel.owner])
            product = np.bincount(of, centred[rows] * centred[rows + 1], len(panel))
            found.number(f"autocorrelation of {name}", product / panel.lengths)
        for name, codes in panel.codes.items():
            stays = np.bincount(of, codes[rows] == codes[rows + 1], len(panel)) / steps
            found.number(f"share of {name} that stays", stays)
            different, most = distinct_levels(panel, codes)
            found.number(f"different {name}", different)
            found.code(f"most frequent {name}", most)
            found.code(f"first {name}", codes[first])
            found.code(f"last {name}", codes[last])
    if with_attributes:
        found.attributes(panel, everyone)
    return found.done(everyone)


def window_length(real: Panel, most: int) -> int:
    """Rows of the windows that are compared: the length of most sequences, at most ``most``."""
    return int(min(most, max(2, np.quantile(real.lengths, 0.25))))


def window_features(panel: Panel, length: int, real: Panel, rng: np.random.Generator) -> Features:
    """A window of so many rows of each sequence that has them, from a random row of it on.

    Levels, changes and absolute changes of numbers, the principal components of the real rows'
    standardized windows, categories, and attributes.

    Args:
        panel: Whose windows.
        length: Of a window.
        real: Whose windows' components are taken.
        rng: Of where windows begin.
    """
    found = _Columns()
    rows, owner = _windows(panel, length, rng)
    for name, values in panel.numbers.items():
        levels = values[rows]
        steps = np.diff(levels, axis=1)
        for t in range(length):
            found.number(f"{name} {t}", levels[:, t])
        for t in range(length - 1):
            found.number(f"change of {name} {t}", steps[:, t])
            found.number(f"size of change of {name} {t}", np.abs(steps[:, t]))
    if panel.numbers:
        real_rows, _ = _windows(real, length, np.random.default_rng(0))
        known, asked = (
            np.concatenate([each.numbers[n][r] for n in real.numbers], axis=1)
            for each, r in ((real, real_rows), (panel, rows))
        )
        for place, score in enumerate(_components(known, asked).T):
            found.number(f"component {place}", score)
    for name, codes in panel.codes.items():
        for t in range(length):
            found.code(f"{name} {t}", codes[rows[:, t]])
    found.attributes(panel, owner)
    return found.done(owner)


def _windows(panel: Panel, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a window of each sequence that is long enough, ``[n, length]``; and of which."""
    owner = np.flatnonzero(panel.lengths >= length)
    start = panel.starts[owner] + rng.integers(0, panel.lengths[owner] - length + 1)
    return start[:, None] + np.arange(length), owner


def _components(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Principal components of standardized windows, missing at the mean, ``[n, components]``."""
    if not len(known):
        return np.zeros((len(asked), 0))
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that hold nothing
        mean, sd = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        unit, its = (np.nan_to_num((v - mean) / sd, posinf=0, neginf=0) for v in (known, asked))
    _, vectors = np.linalg.eigh(unit.T @ unit)
    return its @ vectors[:, ::-1][:, :COMPONENTS]


class Told(NamedTuple):
    """Of one detection: ``score`` 1 - (2 AUC - 1), AUC at least one half; rows; the AUCs."""

    score: float
    rows: int
    aucs: tuple[float, ...]


def told_apart(
    real: Features, other: Features, folds: int = 3, seed: int = 0, most_rows: int = MOST_ROWS
) -> Told | None:
    """How far boosted trees tell two kinds of rows apart, whole sequences to a fold.

    Args:
        real, other: With the same features.
        folds: All rows of a sequence are in one.
        seed: Of folds, trees and subsamples.
        most_rows: Of either.

    Returns:
        None where either has fewer than twenty sequences.
    """
    rng = np.random.default_rng(seed)
    if min(len(np.unique(each.owner)) for each in (real, other)) < LEAST_SEQUENCES:
        return None
    parts, owners = [], []
    for each in (real, other):
        chosen = np.arange(len(each.values))
        if len(chosen) > most_rows:
            chosen = np.sort(rng.choice(chosen, most_rows, replace=False))
        parts.append(each.values[chosen])
        owners.append(each.owner[chosen])
    labels = np.repeat([1, 0], [len(part) for part in parts])
    groups = np.concatenate([owners[0], owners[1] + owners[0].max() + 1])
    fit = histogram_boosting(real.categorical, seed)
    found = cross_fitted(np.concatenate(parts), labels, fit, folds, seed, groups)
    aucs = tuple(fold.area for fold in found)
    score = 1 - float(np.mean([2 * max(auc, 0.5) - 1 for auc in aucs]))
    return Told(score, min(len(part) for part in parts), aucs)


_FEATURES: dict[str, Callable[[Panel], Features]] = {
    "rows": row_features,
    "pairs": pair_features,
    "sequences": sequence_features,
    "one_row": lambda panel: one_of_each(row_features(panel)),
    "one_pair": lambda panel: one_of_each(pair_features(panel)),
}


def detection(
    real: Panel,
    other: Panel,
    seed: int = 0,
    window: int = 24,
    kinds: Sequence[str] = KINDS,
) -> dict[str, Told]:
    """`told_apart` by each kind of features, of as many sequences of both.

    Kinds are those of `KINDS`, and "one_row" and "one_pair": of each sequence one row, or one
    plain pair, whatever its length. Those of which there are too few sequences (windows of longer
    ones, pairs of sequences of one row) are left out.

    Raises:
        ValueError: A kind is unknown.
    """
    unknown = [kind for kind in kinds if kind != "windows" and kind not in _FEATURES]
    if unknown:
        known = ", ".join((*_FEATURES, "windows"))
        raise ValueError(f"unknown kind of detection {unknown[0]!r}: give some of {known}")
    rng = np.random.default_rng(seed)
    least = min(len(real), len(other))
    real, other = real.at_most(least, rng), other.at_most(least, rng)
    found = {}
    for kind in kinds:
        if kind == "windows":
            length = window_length(real, window)
            both = [window_features(panel, length, real, rng) for panel in (real, other)]
        else:
            both = [_FEATURES[kind](panel) for panel in (real, other)]
        told = told_apart(both[0], both[1], seed=seed)
        if told is not None:
            found[kind] = told
    return found
