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
) -> Iterator[Fold]:
    """Score each fold by a classifier of the others.

    Lopez-Paz and Oquab 2017. An area of 1/2 says that it only guesses, 1 that it is always right.

    Args:
        rows: Features of real and generated rows, ``[n, features]``.
        is_real: Which of them are real, bool or 0 and 1, ``[n]``.
        fit: Learns from rows and these flags, and gives the probabilities of others.
        folds: Stratified and shuffled.
        seed: Of the shuffle.

    Example:
        >>> rows = np.arange(20.0)[:, None]
        >>> folds = cross_fitted(rows, rows[:, 0] >= 10, lambda *_: lambda x: x[:, 0], 2, seed=0)
        >>> [fold.area for fold in folds]
        [1.0, 1.0]
    """
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, is_real)
    for train, test in splits:
        probability = fit(rows[train], is_real[train])
        area = float(roc_auc_score(is_real[test], probability(rows[test])))
        yield Fold(area, test, probability)
