"""The classifier two-sample test: can a classifier tell generated rows from real ones?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

# Probabilities of being real, ``[n]``, of rows ``[n, features]``.
Probability = Callable[[np.ndarray], np.ndarray]


def fold_areas(
    rows: np.ndarray,
    is_real: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], Probability],
    folds: int,
    seed: int,
) -> list[float]:
    """Area under the ROC curve of each fold, by a classifier of the others.

    Lopez-Paz and Oquab 2017. An area of 1/2 says that it only guesses, 1 that it is always right.

    Args:
        rows: Features of real and generated rows, ``[n, features]``.
        is_real: Which of them are real, bool ``[n]``.
        fit: Learns from rows and these flags, and gives the probabilities of others.
        folds: Stratified and shuffled.
        seed: Of the shuffle.

    Example:
        >>> rows = np.arange(20.0)[:, None]
        >>> fold_areas(rows, rows[:, 0] >= 10, lambda *_: lambda rows: rows[:, 0], 2, seed=0)
        [1.0, 1.0]
    """
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, is_real)
    areas = []
    for train, test in splits:
        probability = fit(rows[train], is_real[train])
        areas.append(float(roc_auc_score(is_real[test], probability(rows[test]))))
    return areas
