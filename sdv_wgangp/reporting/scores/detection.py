"""Whether boosted trees can tell synthetic rows from real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from sdv_wgangp.reporting.scores.tables import (
    MAX_LEVELS,
    subsample,
    tree_tables,
    used,
    without_hollow,
)
from sdv_wgangp.statistics.two_sample import Fold, Probability, cross_fitted


@dataclass(frozen=True)
class Detection:
    """``score`` 1: real and synthetic rows cannot be told apart; 0: always.

    ``telling`` holds, when asked for, how much AUC the trees lose without a column's information
    (its values shuffled among the scored rows), most telling column first.
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
    """Can boosted trees tell synthetic from real rows? The classifier two-sample test.

    ``score = 1 - mean over folds of (2 max(AUC, 1/2) - 1)`` (the score of SDMetrics' detection
    metrics, with trees in the place of their linear model, which cannot see dependence). The
    larger table is subsampled to the size of the smaller one.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        columns: ``name -> sdtype``.
        classifier: ``"hist_gradient_boosting"`` (scikit-learn) or ``"xgboost"`` (needs the
            ``xgboost`` package; the one that publications use).
        folds: Stratified shuffled folds; each is scored by trees fitted to the others.
        seed: Of the subsample, the folds and the trees.
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
    (fake, true), categorical = tree_tables(columns, [synthetic, real])
    features = np.concatenate([true, fake])
    labels = np.repeat([1, 0], rows)
    make = _classifier(classifier, categorical, seed)
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


def boosted_trees(
    categorical: np.ndarray, seed: int
) -> Callable[[np.ndarray, np.ndarray], Probability]:
    """scikit-learn's histogram boosting with its defaults, for `cross_fitted`.

    Args:
        categorical: Which features are codes, ``[features]``.
        seed: Of the trees.
    """

    def fit(features, labels):
        (filled,) = without_hollow(features)
        trees = HistGradientBoostingClassifier(
            categorical_features=categorical, random_state=seed
        ).fit(filled, labels)
        return lambda rows: trees.predict_proba(without_hollow(features, rows)[1])[:, 1]

    return fit


def _classifier(name: str, categorical: np.ndarray, seed: int):
    """``fit(features, labels) -> (features -> probability of label 1)``."""
    if name == "hist_gradient_boosting":
        return boosted_trees(categorical, seed)
    if name == "xgboost":
        try:
            from xgboost import XGBClassifier
        except ImportError as error:
            raise ImportError(
                "detection with classifier='xgboost' needs the xgboost package: "
                "pip install xgboost, or use classifier='hist_gradient_boosting'"
            ) from error

        def table(rows):
            frame = pd.DataFrame(rows)
            for place in np.flatnonzero(categorical):
                codes = np.where(np.isnan(rows[:, place]), -1, rows[:, place]).astype(np.int64)
                frame[place] = pd.Categorical.from_codes(
                    codes.tolist(), categories=pd.RangeIndex(MAX_LEVELS)
                )
            return frame

        def fit(features, labels):
            trees = XGBClassifier(enable_categorical=True, random_state=seed)
            trees.fit(table(features), labels)
            return lambda rows: trees.predict_proba(table(rows))[:, 1]

        return fit
    raise ValueError(f"unknown classifier {name!r}: use 'hist_gradient_boosting' or 'xgboost'")
