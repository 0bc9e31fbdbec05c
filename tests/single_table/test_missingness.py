"""Missing values that say something: they depend on other columns, and so do those of samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from shared_tables import describe, fit, rows_of

ROWS = 800
COLUMNS = {"group": "categorical", "number": "numerical", "kind": "categorical", "day": "datetime"}
LEARNING = {
    "epochs": 40,
    "batch_size": 100,
    "generator_dim": (64, 64),
    "discriminator_dim": (64, 64),
    "generator_lr": 2e-3,
}


def frame() -> pd.DataFrame:
    """In group "none" everything is missing, in group "all" nothing is."""
    random = np.random.default_rng(0)
    group = random.choice(["all", "none"], ROWS, p=[0.6, 0.4])
    days = pd.Timestamp("2001-01-01") + pd.to_timedelta(random.integers(0, 999, ROWS), "D")
    table = pd.DataFrame(
        {
            "group": group,
            "number": random.normal(size=ROWS),
            "kind": random.choice(["x", "y", "z"], ROWS),
            "day": days,
        }
    )
    for name in ("number", "kind", "day"):
        table[name] = table[name].mask(group == "none")
    return table


@pytest.fixture(scope="module")
def sample():
    return rows_of(fit(describe(COLUMNS), frame(), **LEARNING).sample(2000))


@pytest.mark.parametrize("name", ["number", "kind", "day"])
def test_what_is_always_or_never_missing_in_a_group_stays_so(sample, name):
    share = sample[name].isna().groupby(sample["group"]).mean()
    assert share["none"] > 0.95
    assert share["all"] < 0.05


def test_columns_are_missing_together(sample):
    together = sample[["number", "kind", "day"]].isna().sum(axis=1)
    assert together.isin([0, 3]).mean() > 0.93
    assert 0.3 < (together == 3).mean() < 0.5


def test_present_values_keep_their_distribution(sample):
    """SDV's default fills gaps by the mean before it learns: a spike among the present values."""
    real, drawn = frame()["number"].dropna(), sample["number"].dropna()
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.abs(real.quantile(quantiles) - drawn.quantile(quantiles)).max() < 0.35
    assert drawn.round(3).value_counts(normalize=True).max() < 0.03


def test_missing_at_random_stays_at_random():
    table = frame()
    random = np.random.default_rng(1)
    table["number"] = pd.Series(random.normal(size=ROWS)).mask(random.random(ROWS) < 0.5)
    drawn = rows_of(fit(describe(COLUMNS), table, **LEARNING).sample(2000))
    share = drawn["number"].isna().groupby(drawn["group"]).mean()
    assert share.between(0.4, 0.6).all()
