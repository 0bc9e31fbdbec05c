"""Membership inference: do synthetic rows give away which rows they were made from?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sdv_wgangp.reporting.scores.classifiers import classifier as classifier_of
from sdv_wgangp.reporting.scores.tables import tree_tables, used


@dataclass(frozen=True)
class Membership:
    """How well an attacker ranks members before others: AUCs, .5 is a coin.

    ``control`` is the AUC of the same attack with real rows that nobody was trained on in the
    place of the synthetic ones: what is above it is what the synthetic rows give away. ``members``
    and ``reference`` are the rows that one repetition ranks (and as many others) and learns from.
    """

    auc: float
    control: float
    members: int
    reference: int
    repetitions: int


def membership(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    unseen: pd.DataFrame,
    columns: Mapping[str, str],
    classifier: str = "hist_gradient_boosting",
    least_rows: int = 1_000,
    most_rows: int = 10_000,
    least_unseen: int = 100,
    seed: int = 0,
) -> Membership:
    """A no-box attack with reference rows, by the density ratio that a classifier learns.

    Of the rows that the synthesizer never saw one half is the attacker's reference. Trees learn to
    tell synthetic rows from the reference; a record is the likelier a member, the likelier they
    find it synthetic (a classifier in the place of the densities of van Breugel et al. 2023,
    DOMIAS: p_synthetic(x) / p_reference(x)). The AUC is of members against the other half. Halves
    change places, and small tables are halved again at random.

    Args:
        train: Rows that the synthesizer was fitted to.
        synthetic: Its rows.
        unseen: Rows that it never saw; the attack is strongest with twice as many as there are
            training rows.
        columns: ``name -> sdtype``.
        classifier: See `detection`.
        least_rows: Members that all repetitions are to rank together.
        most_rows: Of each kind in one repetition.
        least_unseen: Of fewer unseen rows trees learn nothing.
        seed: Of halves, subsamples and trees.

    Raises:
        ValueError: there are too few unseen rows, or a column is missing.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, unseen = (pd.DataFrame({"x": rng.normal(size=n)}) for n in (200, 400))
        >>> copied = membership(train, train, unseen, {"x": "numerical"})
        >>> copied.auc > 0.6, 0.4 < copied.control < 0.6
        (True, True)
    """
    columns = used(columns, train, synthetic, unseen)
    if len(unseen) < least_unseen:
        raise ValueError(
            f"membership inference needs at least {least_unseen} rows that the synthesizer never "
            f"saw, and there are {len(unseen)}: hold more rows out"
        )
    (members, made, others), _ = tree_tables(columns, [train, synthetic, unseen])
    rng = np.random.default_rng(seed)
    half = len(others) // 2
    rows = min(half, len(members), most_rows)
    learned = min(half, len(made), most_rows)
    repetitions = -(-least_rows // (2 * rows))
    own, control = [], []
    for repetition in range(repetitions):
        order = rng.permutation(len(others))
        for halves in ((order[:half], order[half:]), (order[half:], order[:half])):
            reference, rest = (others[part] for part in halves)
            chosen = rng.choice(len(members), rows, replace=False)
            tested = np.concatenate([members[chosen], rest[:rows]])
            is_member = np.repeat([1, 0], rows)
            fit = classifier_of(classifier, columns, seed + repetition)
            told = _ranked(fit, _some(made, learned, rng), _some(reference, learned, rng), tested)
            own.append(float(roc_auc_score(is_member, told)))
            # One half of the reference in the place of the synthetic rows.
            cut = len(reference) // 2
            told = _ranked(fit, reference[:cut], reference[cut:], tested)
            control.append(float(roc_auc_score(is_member, told)))
    return Membership(float(np.mean(own)), float(np.mean(control)), rows, learned, 2 * repetitions)


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return rows[np.sort(rng.choice(len(rows), count, replace=False))]


def _ranked(fit, first: np.ndarray, second: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How likely rows are of the first kind."""
    labels = np.repeat([1, 0], [len(first), len(second)])
    return fit(np.concatenate([first, second]), labels)(rows)
