"""Whether a classifier can tell synthetic rows from real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sdv_wgangp.reporting.scores.classifiers import classifier as classifier_of
from sdv_wgangp.reporting.scores.tables import subsample, tree_tables, used
from sdv_wgangp.statistics.two_sample import Fold, cross_fitted


@dataclass(frozen=True)
class Detection:
    """``score`` 1: real and synthetic rows cannot be told apart; 0: always.

    ``telling`` holds, when asked for, how much AUC the classifier loses without a column's
    information (its values shuffled among the scored rows), most telling column first.
    """

    score: float
    aucs: tuple[float, ...]
    classifier: str
    rows: int
    telling: tuple[tuple[str, float], ...] = ()


def detection(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    classifier: str = "hist_gradient_boosting",
    folds: int = 3,
    seed: int = 0,
    explain: bool = False,
) -> Detection:
    """Can a classifier tell synthetic from real rows? The classifier two-sample test.

    ``score = 1 - mean over folds of (2 max(AUC, 1/2) - 1)`` (the score of SDMetrics' detection
    metrics, with trees in the place of their linear model, which cannot see dependence). The
    larger table is subsampled to the size of the smaller one.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        columns: ``name -> sdtype``.
        classifier: ``"hist_gradient_boosting"`` (scikit-learn), ``"pair_trees"`` (the same, which
            also see differences of two numbers), ``"extra_trees"``, ``"network"`` (of other
            families than the trees that calibration uses), or ``"xgboost"`` (needs the
            ``xgboost`` package; the one that publications use). `classifiers` describes them.
        folds: Stratified shuffled folds; each is scored by a classifier of the others.
        seed: Of the subsample, the folds and the classifier.
        explain: Also measure, on the last fold, which columns give synthetic rows away.

    Raises:
        ValueError: fewer rows than folds, an unknown classifier or a missing column.
        ImportError: ``"xgboost"`` was asked for and is not installed.
    """
    columns = used(columns, real, synthetic)
    rng = np.random.default_rng(seed)
    rows = min(len(real), len(synthetic))
    if rows < folds:
        raise ValueError(f"detection with {folds} folds needs {folds} rows, got {rows}")
    real, synthetic = (subsample(table, rows, rng) for table in (real, synthetic))
    (fake, true), _ = tree_tables(columns, [synthetic, real])
    features = np.concatenate([true, fake])
    labels = np.repeat([1, 0], rows)
    make = classifier_of(classifier, columns, seed)
    aucs: list[float] = []
    last: Fold | None = None
    for last in cross_fitted(features, labels, make, folds, seed):
        aucs.append(last.area)
    telling: tuple[tuple[str, float], ...] = ()
    if explain and last is not None:
        lost = {}
        for place, name in enumerate(columns):
            shuffled = features[last.scored].copy()
            shuffled[:, place] = rng.permutation(shuffled[:, place])
            area = roc_auc_score(labels[last.scored], last.probability(shuffled))
            lost[name] = last.area - float(area)
        telling = tuple(sorted(lost.items(), key=lambda item: -item[1]))
    score = 1 - float(np.mean([2 * max(auc, 0.5) - 1 for auc in aucs]))
    return Detection(score, tuple(aucs), classifier, rows, telling)
