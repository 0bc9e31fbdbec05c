"""Every score of a report, of the synthetic rows and of held-out rows in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import scores
from sdv_wgangp.reporting.preparation import Tables

MODEL_ROWS = 50_000  # the trees of detection and utility see at most so many rows of a table
JUDGED_ROWS = 10_000  # what other families see
LEAST_ATTACKED = 100  # held-out rows, that there is an attack
ATTACKED_ROWS = 500  # members that the attack is to rank, so that it is no accident
# Of detection, beside the boosted trees whose kind selects the rows of a calibrated sample.
FAMILIES = ("pair_trees", "extra_trees", "network")


@dataclass(frozen=True)
class Scores:
    """The scores of the synthetic rows, and of the held-out rows in their place (``unseen``).

    ``quality_all`` is SDMetrics' quality over all pairs, ``detection_unseen`` that of the
    synthetic against the held-out rows, ``utility_real`` that of a model of real rows.
    ``families`` is detection by other classifiers and ``coverage_equal`` the coverage of modes,
    both by as many synthetic as held-out rows, where there are these; ``coverage`` is that of all
    synthetic rows.
    """

    quality: scores.Quality
    quality_all: scores.Quality
    diagnostic: scores.Diagnostic
    detection: scores.Detection
    privacy: scores.Privacy
    utility: scores.Utility | None
    utility_real: scores.Utility | None
    detection_unseen: scores.Detection | None
    unseen: Unseen | None
    families: Mapping[str, scores.Detection]
    coverage: scores.Coverage
    coverage_equal: scores.Coverage
    membership: scores.Membership | None


@dataclass(frozen=True)
class Unseen:
    """What held-out rows score in the place of the synthetic ones."""

    quality: scores.Quality
    quality_all: scores.Quality
    diagnostic: scores.Diagnostic
    detection: scores.Detection
    families: Mapping[str, scores.Detection]
    coverage: scores.Coverage


def score(
    tables: Tables, target: str | None = None, seed: int = 0, known: Scores | None = None
) -> Scores:
    """All scores; trees are trained on samples of tables with more than 50,000 rows.

    Args:
        tables: What is compared.
        target: A column to predict, for utility.
        seed: Of all subsamples and models.
        known: Scores of another synthetic table beside the same columns of the same real and
            held-out rows, with the same target and seed: what does not depend on the synthetic
            rows is taken from them.
    """
    real, synthetic, holdout = tables.real, tables.synthetic, tables.holdout
    about, columns = tables.about_raw, tables.scored
    rng = np.random.default_rng(seed)

    def few(table: pd.DataFrame) -> pd.DataFrame:
        if len(table) <= MODEL_ROWS:
            return table
        return table.iloc[np.sort(rng.choice(len(table), MODEL_ROWS, replace=False))]

    some_real, some_synthetic = few(real), few(synthetic)
    utility = utility_real = None
    if target is not None:
        if holdout is None:
            order = rng.permutation(len(real))
            cut = len(real) - len(real) // 3
            known_rows, test = real.iloc[order[:cut]], real.iloc[order[cut:]]
        else:
            known_rows, test = real, holdout
        regression = scores.is_regression(real[target], columns[target])
        arguments = (few(test), target, columns, regression, seed)
        utility = scores.tstr(some_synthetic, *arguments)
        utility_real = known.utility_real if known else scores.tstr(few(known_rows), *arguments)
    # As many as held-out rows, or these would be judged by other measures.
    equal = min(len(real), len(synthetic), JUDGED_ROWS, len(real if holdout is None else holdout))

    def few_equal(table: pd.DataFrame) -> pd.DataFrame:
        return scores.subsample(table, equal, np.random.default_rng(seed))

    def families(table: pd.DataFrame) -> dict[str, scores.Detection]:
        rows = few_equal(table)
        return {name: scores.detection(real, rows, columns, name, seed=seed) for name in FAMILIES}

    unseen = detection_unseen = membership = None
    if holdout is not None:
        some_holdout = few(holdout)
        unseen = (known and known.unseen) or Unseen(
            quality=scores.quality(real, holdout, about, seed=seed),
            quality_all=scores.quality(real, holdout, about, all_pairs=True, seed=seed),
            diagnostic=scores.diagnostic(tables.raw[0], tables.raw[2], about, seed=seed),
            detection=scores.detection(some_real, some_holdout, columns, seed=seed),
            families=families(holdout),
            coverage=scores.coverage(real, few_equal(holdout), columns, seed=seed),
        )
        detection_unseen = scores.detection(some_holdout, some_synthetic, columns, seed=seed)
        if len(holdout) >= LEAST_ATTACKED:
            membership = scores.membership(
                real, synthetic, holdout, columns, least_rows=ATTACKED_ROWS, seed=seed
            )
    return Scores(
        quality=scores.quality(real, synthetic, about, seed=seed),
        quality_all=scores.quality(real, synthetic, about, all_pairs=True, seed=seed),
        diagnostic=scores.diagnostic(tables.raw[0], tables.raw[1], about, seed=seed),
        detection=scores.detection(some_real, some_synthetic, columns, seed=seed, explain=True),
        privacy=scores.privacy(real, synthetic, columns, holdout, seed=seed),
        utility=utility,
        utility_real=utility_real,
        detection_unseen=detection_unseen,
        unseen=unseen,
        families=families(synthetic),
        coverage=scores.coverage(real, synthetic, columns, seed=seed),
        coverage_equal=scores.coverage(real, few_equal(synthetic), columns, seed=seed),
        membership=membership,
    )
