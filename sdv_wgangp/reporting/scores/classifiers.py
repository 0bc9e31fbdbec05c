"""Classifiers of several families that try to tell synthetic from real rows."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sdv_wgangp.reporting.scores.tables import CATEGORIES, MAX_LEVELS, NUMBERS, without_hollow
from sdv_wgangp.statistics.two_sample import Probability

# ``fit(features, labels)``: learns from rows as `tables.tree_tables` makes them.
Fit = Callable[[np.ndarray, np.ndarray], Probability]


def boosted_trees(columns: Mapping[str, str], seed: int) -> Fit:
    """scikit-learn's histogram gradient boosting with its defaults, categories declared."""
    return histogram_boosting(_categorical(columns), seed)


def pair_trees(columns: Mapping[str, str], seed: int, most_pairs: int = 500) -> Fit:
    """The same trees, which also see the differences of numeric columns.

    Trees cut along one column at a time: that two columns are equal, or that a total is what its
    parts add up to, they find only where they can cut along a difference.

    Args:
        columns: ``name -> sdtype``.
        seed: Of the trees.
        most_pairs: Of two numbers, or of two dates. Where there are more, those whose ranks
            correlate most in the rows that the trees learn from.
    """
    categorical = _categorical(columns)
    kinds = list(columns.values())
    pairs = [
        pair
        for kind in NUMBERS
        for pair in itertools.combinations([k for k, each in enumerate(kinds) if each == kind], 2)
    ]

    def fit(features: np.ndarray, labels: np.ndarray) -> Probability:
        chosen = np.array(_strongest(features, pairs, most_pairs), int).reshape(-1, 2)

        def widened(rows: np.ndarray) -> np.ndarray:
            return np.hstack([rows, rows[:, chosen[:, 0]] - rows[:, chosen[:, 1]]])

        wide = np.concatenate([categorical, np.zeros(len(chosen), bool)])
        probability = histogram_boosting(wide, seed)(widened(features), labels)
        return lambda rows: probability(widened(rows))

    return fit


def _strongest(
    features: np.ndarray, pairs: list[tuple[int, int]], most: int
) -> list[tuple[int, int]]:
    if len(pairs) <= most:
        return pairs
    ranks = pd.DataFrame(features).rank().corr().abs().fillna(0).to_numpy()
    strengths = np.array([ranks[pair] for pair in pairs])
    return [pairs[place] for place in np.sort(np.argsort(-strengths, kind="stable")[:most])]


def xgboost(columns: Mapping[str, str], seed: int) -> Fit:
    """XGBoost, which publications use; it needs the package ``xgboost``."""
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise ImportError(
            "detection with classifier='xgboost' needs the xgboost package: "
            "pip install xgboost, or use classifier='hist_gradient_boosting'"
        ) from error
    categorical = _categorical(columns)

    def table(rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(rows)
        for place in np.flatnonzero(categorical):
            codes = np.where(np.isnan(rows[:, place]), -1, rows[:, place]).astype(np.int64)
            frame[place] = pd.Categorical.from_codes(
                codes.tolist(), categories=pd.RangeIndex(MAX_LEVELS)
            )
        return frame

    def fit(features: np.ndarray, labels: np.ndarray) -> Probability:
        trees = XGBClassifier(enable_categorical=True, random_state=seed)
        trees.fit(table(features), labels)
        return lambda rows: trees.predict_proba(table(rows))[:, 1]

    return fit


def extra_trees(columns: Mapping[str, str], seed: int, trees: int = 100, leaf: int = 3) -> Fit:
    """Extremely randomised trees (Geurts, Ernst and Wehenkel 2006): grown deep, cut at random.

    Args:
        columns: ``name -> sdtype``.
        seed: Of the trees.
        trees: How many.
        leaf: Least rows of a leaf.
    """

    def fit(features: np.ndarray, labels: np.ndarray) -> Probability:
        # Missing numbers and categories lie well below all others.
        (given,) = without_hollow(features)
        least = np.nanmin(given, axis=0)
        low = least - (np.nanmax(given, axis=0) - least) - 1

        def filled(rows: np.ndarray) -> np.ndarray:
            return np.where(np.isnan(rows), low, rows)

        forest = ExtraTreesClassifier(trees, min_samples_leaf=leaf, random_state=seed)
        forest.fit(filled(features), labels)
        return lambda rows: forest.predict_proba(filled(rows))[:, 1]

    return fit


def network(
    columns: Mapping[str, str],
    seed: int,
    widths: tuple[int, ...] = (64, 64),
    epochs: int = 40,
    decay: float = 1e-3,
    most_levels: int = 50,
) -> Fit:
    """A small network (scikit-learn's) of the ranks of numbers and of one-hot categories.

    Args:
        columns: ``name -> sdtype``.
        seed: Of its weights and batches.
        widths: Of the hidden layers.
        epochs: Passes over the rows.
        decay: L2 penalty on the weights.
        most_levels: Of a category; the rarer ones share the last.
    """
    categorical = _categorical(columns)

    def fit(features: np.ndarray, labels: np.ndarray) -> Probability:
        known = [np.sort(column[~np.isnan(column)]) for column in features.T]

        def channels(rows: np.ndarray) -> np.ndarray:
            found = []
            for place, (column, values) in enumerate(zip(rows.T, known, strict=True)):
                missing = np.isnan(column)
                if categorical[place]:
                    level = np.where(missing, most_levels, np.minimum(column, most_levels - 1))
                    found.append(np.eye(most_levels + 1)[level.astype(int)])
                else:
                    ends = (np.searchsorted(values, column, side) for side in ("left", "right"))
                    rank = sum(ends) / max(len(values), 1) - 1  # in [-1, 1]
                    found += [np.where(missing, 0.0, rank)[:, None], missing[:, None]]
            return np.hstack(found)

        given = channels(features)
        varied = np.ptp(given, axis=0) > 0
        varied[0] = True  # a table of constants has one channel, too
        mlp = MLPClassifier(
            widths, alpha=decay, max_iter=epochs, n_iter_no_change=epochs, random_state=seed
        )
        with warnings.catch_warnings():
            # It ends after so many epochs, whether it has converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mlp.fit(given[:, varied], labels)
        return lambda rows: mlp.predict_proba(channels(rows)[:, varied])[:, 1]

    return fit


def _categorical(columns: Mapping[str, str]) -> np.ndarray:
    return np.array([sdtype in CATEGORIES for sdtype in columns.values()])


def histogram_boosting(categorical: np.ndarray, seed: int) -> Fit:
    """scikit-learn's trees with their defaults.

    Args:
        categorical: Which features are codes, bool ``[features]``.
        seed: Of the trees.
    """

    def fit(features: np.ndarray, labels: np.ndarray) -> Probability:
        (filled,) = without_hollow(features)
        trees = HistGradientBoostingClassifier(
            categorical_features=categorical, random_state=seed
        ).fit(filled, labels)
        return lambda rows: trees.predict_proba(without_hollow(features, rows)[1])[:, 1]

    return fit


CLASSIFIERS: Mapping[str, Callable[[Mapping[str, str], int], Fit]] = {
    "hist_gradient_boosting": boosted_trees,
    "pair_trees": pair_trees,
    "extra_trees": extra_trees,
    "network": network,
    "xgboost": xgboost,
}


def classifier(name: str, columns: Mapping[str, str], seed: int) -> Fit:
    """The classifier of that name.

    Args:
        name: One of `CLASSIFIERS`.
        columns: ``name -> sdtype`` of the features.
        seed: Of all that is random in it.

    Raises:
        ValueError: There is none of that name; lists those that there are.
        ImportError: Its package is not installed.

    Example:
        >>> total, part = np.arange(40.0), np.arange(40.0) % 7
        >>> rows = np.column_stack([total, part, total - part])
        >>> rows[20:, 2] += 1  # no longer the rest
        >>> fit = classifier("extra_trees", dict.fromkeys("abc", "numerical"), seed=0)
        >>> fit(rows, np.arange(40) < 20)(rows).shape
        (40,)
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"unknown classifier {name!r}: use one of {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name](columns, seed)
