"""The classifier two-sample test: can a classifier tell generated rows from real ones?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

# Probabilities of being real, ``[n]``, of rows ``[n, features]``.
Probability = Callable[[np.ndarray], np.ndarray]


class Fold(NamedTuple):
    """Of a cross-fitted classifier.

    Attributes:
        area: Under the ROC curve of the rows of this fold.
        scored: Their indices.
        probability: The classifier, which has learned from the other folds.
    """

    area: float
    scored: np.ndarray
    probability: Probability


def cross_fitted(
    rows: np.ndarray,
    is_real: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], Probability],
    folds: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> Iterator[Fold]:
    """Score each fold by a classifier of the others.

    Lopez-Paz and Oquab 2017. An area of 1/2 says that it only guesses, 1 that it is always right.

    Args:
        rows: Features of real and generated rows, ``[n, features]``.
        is_real: Which of them are real, bool or 0 and 1, ``[n]``.
        fit: Learns from rows and these flags, and gives the probabilities of others.
        folds: Stratified and shuffled.
        seed: Of the shuffle.
        groups: A whole number for each row, ``[n]``: those of one (the rows of a sequence), which
            are all real or all generated, are in one fold.

    Example:
        >>> rows = np.arange(20.0)[:, None]
        >>> folds = cross_fitted(rows, rows[:, 0] >= 10, lambda *_: lambda x: x[:, 0], 2, seed=0)
        >>> [fold.area for fold in folds]
        [1.0, 1.0]
    """
    if groups is None:
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, is_real)
    else:
        splits = _splits_of_groups(is_real, groups, folds, seed)
    for train, test in splits:
        probability = fit(rows[train], is_real[train])
        area = float(roc_auc_score(is_real[test], probability(rows[test])))
        yield Fold(area, test, probability)


def _splits_of_groups(
    is_real: np.ndarray, groups: np.ndarray, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Train and test rows of each fold; of either kind all folds get as many groups."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    kind = np.asarray(is_real, dtype=bool)[first]
    fold = np.empty(len(first), dtype=np.int64)
    random = np.random.default_rng(seed)
    for each in (False, True):
        members = np.flatnonzero(kind == each)
        fold[random.permutation(members)] = np.arange(len(members)) % folds
    of_row = fold[group]
    for number in range(folds):
        yield np.flatnonzero(of_row != number), np.flatnonzero(of_row == number)
