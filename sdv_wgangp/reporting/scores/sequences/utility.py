"""Whether what is learnt from synthetic sequences holds for real ones (TSTR)."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score

from sdv_wgangp.reporting.scores.sequences.detection import (
    Features,
    pair_features,
    sequence_features,
)
from sdv_wgangp.reporting.scores.sequences.panel import Panel, few_levels
from sdv_wgangp.reporting.scores.tables import without_hollow

MOST_ROWS = 20_000
LEAST = 20


def next_row(train: Panel, test: Panel, seed: int = 0) -> dict[str, float]:
    """Each column of the next row, predicted from a row by boosted trees.

    Trained on ``train`` (synthetic rows, or real ones for the reference), tested on real rows:
    R2 of the change of a number, AUC of categories (one against rest, ten levels, weighed by
    frequency). Columns that the test rows leave constant are left out.
    """
    rng = np.random.default_rng(seed)
    inputs, rows = [], []
    for panel in (train, test):
        features = pair_features(panel)
        chosen = np.arange(len(features.values))
        if len(chosen) > MOST_ROWS:
            chosen = np.sort(rng.choice(chosen, MOST_ROWS, replace=False))
        now = [k for k, name in enumerate(features.names)
               if not name.startswith(("next ", "change of "))]  # fmt: skip
        inputs.append(Features(features.values[chosen][:, now], features.categorical[now],
                               features.owner[chosen], ()))  # fmt: skip
        rows.append(panel.before(1)[chosen])
    if min(len(each) for each in rows) < LEAST:
        return {}
    found = {}
    for name in train.numbers:
        targets = [p.numbers[name][r + 1] - p.numbers[name][r]
                   for p, r in zip((train, test), rows, strict=True)]  # fmt: skip
        score = _regressed(inputs, targets, seed)
        if score is not None:
            found[name] = score
    for name in train.codes:
        targets = [
            few_levels(p.codes[name])[r + 1] for p, r in zip((train, test), rows, strict=True)
        ]
        score = _classified(inputs, targets, seed)
        if score is not None:
            found[name] = score
    return found


def attribute_of_sequence(train: Panel, test: Panel, seed: int = 0) -> dict[str, float]:
    """Each attribute, predicted from what sums up its sequence: R2 or AUC as of `next_row`."""
    if min(len(train), len(test)) < LEAST:
        return {}
    inputs = [sequence_features(panel, with_attributes=False) for panel in (train, test)]
    found = {}
    for name in train.attribute_numbers:
        score = _regressed(inputs, [p.attribute_numbers[name] for p in (train, test)], seed)
        if score is not None:
            found[name] = score
    for name in train.attribute_codes:
        targets = [few_levels(p.attribute_codes[name]) for p in (train, test)]
        score = _classified(inputs, targets, seed)
        if score is not None:
            found[name] = score
    return found


def _regressed(inputs: list[Features], targets: list[np.ndarray], seed: int) -> float | None:
    known = [np.isfinite(target) for target in targets]
    truth = targets[1][known[1]]
    if min(each.sum() for each in known) < LEAST or np.ptp(truth) == 0:
        return None
    fitted, scored = without_hollow(*[i.values[k] for i, k in zip(inputs, known, strict=True)])
    trees = HistGradientBoostingRegressor(
        categorical_features=inputs[0].categorical, random_state=seed
    )
    predicted = trees.fit(fitted, targets[0][known[0]]).predict(scored)
    # A model may be far worse than the mean; how far says nothing.
    return max(-1.0, float(r2_score(truth, predicted)))


def _classified(inputs: list[Features], targets: list[np.ndarray], seed: int) -> float | None:
    present, tested = np.unique(targets[0]), np.unique(targets[1])
    if len(tested) < 2:
        return None
    fitted, scored = without_hollow(inputs[0].values, inputs[1].values)
    chances = np.zeros((len(scored), 16))
    if len(present) == 1:
        chances[:, present[0]] = 1.0
    else:
        trees = HistGradientBoostingClassifier(
            categorical_features=inputs[0].categorical, random_state=seed
        )
        chances[:, present] = trees.fit(fitted, targets[0]).predict_proba(scored)
    areas = [roc_auc_score(targets[1] == level, chances[:, level]) for level in tested]
    return float(np.average(areas, weights=[np.mean(targets[1] == level) for level in tested]))
