"""Whether a model trained on synthetic rows works on real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

from sdv_wgangp.reporting.scores.tables import (
    NUMBERS,
    to_codes,
    to_numbers,
    tree_tables,
    used,
    without_hollow,
)

LOG_CLIP = (1.0, 20_000.0)  # the range published log-RMSE figures clip a heavy-tailed target to


@dataclass(frozen=True)
class Utility:
    """Trained on one table, tested on real rows. Fields of the other task are None.

    ``auc`` is in [0, 1]; ``rmse`` has the target's unit (nanoseconds for a datetime);
    ``log_rmse`` is None unless the target is non-negative and heavy-tailed. ``missing_classes``
    occur in the test rows but not in the training rows: their one-versus-rest AUC is .5.
    """

    task: str
    target: str
    train_rows: int
    test_rows: int
    auc: float | None = None
    rmse: float | None = None
    r2: float | None = None
    log_rmse: float | None = None
    missing_classes: tuple = ()


def is_regression(real: pd.Series, sdtype: str) -> bool:
    """Numbers are regressed on, categories classified; so are ordinals of up to 10 levels."""
    if sdtype == "ordinal":
        return pd.api.types.is_numeric_dtype(real) and real.nunique() > 10
    return sdtype in NUMBERS


def tstr(
    synthetic_train: pd.DataFrame,
    real_test: pd.DataFrame,
    target: str,
    columns: Mapping[str, str],
    regression: bool | None = None,
    seed: int = 0,
) -> Utility:
    """Train on synthetic rows, test on real ones (Esteban et al. 2017), with boosted trees.

    Pass real rows as ``synthetic_train`` for the reference value. Classification gives the AUC,
    for more than two classes the mean of the one-versus-rest AUCs weighted by class frequency in
    the test rows. Regression gives RMSE and R2 and, for a non-negative right-skewed target, the
    RMSE of ``log(clip(target, 1, 20000))`` predicted by a model of the same quantity, as in
    published comparisons. Rows whose target is missing are left out.

    Raises:
        ValueError: the target is not a usable column, or no row has one.
    """
    columns = used(columns, synthetic_train, real_test)
    if target not in columns:
        raise ValueError(f"target {target!r} is not a column that can be predicted")
    if len(columns) < 2:
        raise ValueError(f"there is no column beside the target {target!r} to predict it from")
    train = synthetic_train[synthetic_train[target].notna()]
    test = real_test[real_test[target].notna()]
    if len(train) == 0 or len(test) == 0:
        which = "training" if len(train) == 0 else "test"
        raise ValueError(f"target {target!r} is missing in every {which} row")
    if regression is None:
        regression = is_regression(real_test[target], columns[target])
    inputs = {name: sdtype for name, sdtype in columns.items() if name != target}
    (fitted, scored), categorical = tree_tables(inputs, [train, test])
    fitted, scored = without_hollow(fitted, scored)
    settings = {"categorical_features": categorical, "random_state": seed}
    rows = len(train), len(test)
    if regression:
        sdtype = columns[target] if columns[target] in NUMBERS else "numerical"
        truth_train, truth = (to_numbers(table[target], sdtype) for table in (train, test))

        def predict(values):
            return HistGradientBoostingRegressor(**settings).fit(fitted, values).predict(scored)

        predicted = predict(truth_train)
        log_rmse = None
        if _is_heavy_tailed(truth):
            log_truth_train, log_truth = (
                np.log(np.clip(values, *LOG_CLIP)) for values in (truth_train, truth)
            )
            log_rmse = _rmse(log_truth, predict(log_truth_train))
        return Utility(
            "regression",
            target,
            *rows,
            rmse=_rmse(truth, predicted),
            r2=float(r2_score(truth, predicted)) if len(truth) > 1 else None,
            log_rmse=log_rmse,
        )
    (classes_train, classes), levels = to_codes([train[target], test[target]])
    present = np.unique(classes_train)
    probability = np.zeros((len(classes), len(levels)))
    if len(present) == 1:
        probability[:, present[0]] = 1.0
    else:
        trees = HistGradientBoostingClassifier(**settings).fit(fitted, classes_train)
        probability[:, present] = trees.predict_proba(scored)
    tested = np.unique(classes)
    if len(tested) < 2:
        raise ValueError(
            f"target {target!r} has a single class in the test rows: nothing to tell apart"
        )
    aucs = [roc_auc_score(classes == level, probability[:, level]) for level in tested]
    weights = [np.mean(classes == level) for level in tested]
    return Utility(
        "classification",
        target,
        *rows,
        auc=float(np.average(aucs, weights=weights)),
        missing_classes=tuple(levels[level] for level in tested if level not in present),
    )


def _rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def _is_heavy_tailed(values: np.ndarray) -> bool:
    """Non-negative, right-skewed (skewness > 1), and mostly inside the range of the logarithm."""
    if values.min() < 0 or np.ptp(values) == 0:
        return False
    centred = (values - values.mean()) / values.std()
    inside = np.mean((values > LOG_CLIP[0]) & (values < LOG_CLIP[1]))
    return bool((centred**3).mean() > 1 and inside > 0.9)
