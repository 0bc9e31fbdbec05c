"""Rank calibration: the training marginal, and the order of the rows kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.calibration import Raking, RankCalibration

ROWS = 20_000


def frame(shift=0.0, seed=0):
    """A smooth column, one with a spike, one of few values and one with missing values."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=ROWS) + shift
    return pd.DataFrame(
        {
            "smooth": np.exp(latent),
            "spiked": np.where(latent < 0.3, 0.0, latent + random.normal(size=ROWS) ** 2),
            "few": np.clip(np.round(latent * 2), -6, 6).astype(int),
            "gaps": np.where(random.random(ROWS) < 0.2, np.nan, latent.clip(-2.5, 2.5)),
            "level": np.where(latent > 0, "a", "b"),
        }
    )


@pytest.fixture(scope="module")
def mapped():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    random = torch.Generator().manual_seed(0)
    # The generator's marginals are off: everything stands .5 too high, within the real range.
    wrong = frame(0.5, seed=1)
    for name in ("smooth", "spiked", "gaps"):
        wrong[name] = wrong[name].clip(real[name].min(), real[name].max())
    pool = encoder.encode(wrong, np.random.default_rng(0))
    table = EncodedTable(pool.codes.clone(), pool.positions.clone())
    RankCalibration(pool, encoder, random).apply(table, random)
    return real, wrong, encoder.decode(table)


@pytest.mark.parametrize("name", ["smooth", "spiked", "gaps"])
def test_marginals_become_the_training_ones(mapped, name):
    real, wrong, after = mapped
    levels = np.linspace(0.02, 0.98, 49)
    wanted = real[name].quantile(levels)
    assert np.abs(wrong[name].quantile(levels) - wanted).mean() > 0.2
    # A quantile may stand half a percent of the rows off.
    low, high = real[name].quantile(levels - 0.008), real[name].quantile(levels + 0.008)
    got = after[name].quantile(levels).to_numpy()
    assert ((got >= low.to_numpy() - 1e-6) & (got <= high.to_numpy() + 1e-6)).all()


def test_shares_of_few_values_and_of_a_spike(mapped):
    real, _, after = mapped
    shares = after["few"].value_counts(normalize=True)
    assert shares.sub(real["few"].value_counts(normalize=True)).abs().max() < 0.006
    assert abs((after["spiked"] == 0).mean() - (real["spiked"] == 0).mean()) < 0.006


def test_order_missing_values_and_categories_stay(mapped):
    _, wrong, after = mapped
    assert spearmanr(after["smooth"], wrong["smooth"]).statistic > 0.9999
    assert (after["gaps"].isna() == wrong["gaps"].isna()).all()
    assert (after["level"] == wrong["level"]).all()


def test_a_right_marginal_is_left_alone():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    random = torch.Generator().manual_seed(0)
    pool = encoder.encode(real, np.random.default_rng(0))
    table = EncodedTable(pool.codes.clone(), pool.positions.clone())
    RankCalibration(pool, encoder, random).apply(table, random)
    changed = encoder.decode(table)["few"].to_numpy() != real["few"].to_numpy()
    assert changed.mean() < 0.02


def test_a_table_without_ordered_columns():
    real = pd.DataFrame({"level": ["a", "b"] * 50})
    encoder = TableEncoder().fit(real)
    random = torch.Generator().manual_seed(0)
    pool = encoder.encode(real)
    RankCalibration(pool, encoder, random).apply(pool, random)
    assert encoder.decode(pool)["level"].tolist() == real["level"].tolist()


def tilted(real, rows=60_000, seed=3):
    """Rows of a table drawn again, too many of high ``smooth`` and of level "a"."""
    random = np.random.default_rng(seed)
    odds = np.exp(0.4 * (real["level"] == "a") + 0.15 * np.log(real["smooth"]).clip(-2, 2))
    return real.iloc[random.choice(len(real), rows, p=odds / odds.sum())].reset_index(drop=True)


def test_raking_gives_the_training_marginals_and_changes_no_row():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    layout = Layout.of(encoder)
    random = torch.Generator().manual_seed(0)
    drawn = tilted(real)
    pool = encoder.encode(drawn, np.random.default_rng(0))
    raking = Raking(pool, layout)
    rows = raking.kept(pool, random)
    assert raking.acceptance > 0.49
    assert abs(len(rows) / len(pool) - raking.acceptance) < 0.01
    kept = drawn.iloc[rows]
    assert (drawn["level"] == "a").mean() > 0.58
    assert abs((kept["level"] == "a").mean() - (real["level"] == "a").mean()) < 0.01
    for name in ("smooth", "gaps"):
        levels = np.linspace(0.05, 0.95, 10)
        below = np.searchsorted(np.sort(kept[name].dropna()), real[name].quantile(levels))
        assert np.abs(below / kept[name].notna().sum() - levels).max() < 0.012
    assert abs((kept["spiked"] == 0).mean() - (real["spiked"] == 0).mean()) < 0.01


def test_raking_keeps_every_row_where_nothing_is_wrong():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    pool = encoder.encode(real, np.random.default_rng(0))
    raking = Raking(pool, Layout.of(encoder))
    assert raking.acceptance > 0.9


def test_raking_draws_as_many_rows_as_asked_for():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    pool = encoder.encode(tilted(real), np.random.default_rng(0))
    raking = Raking(pool, Layout.of(encoder))
    asked = []

    def generate(count):
        asked.append(count)
        return pool.rows(torch.arange(count) % len(pool))

    for rows in (0, 1, 7, 5_000):
        table = raking.draw(rows, generate, torch.Generator().manual_seed(1))
        assert len(table) == rows
    assert asked[-1] < 5_000 / raking.acceptance * 1.1 + 16


def test_rows_that_no_weight_can_give_do_not_stop_raking():
    """A level that the generator never makes, and one that it makes always."""
    real = pd.DataFrame({"level": ["a", "b", "c", "c"] * 100})
    encoder = TableEncoder().fit(real)
    code = int(encoder.columns[0].encode(pd.Series(["a"]))[0][0])
    pool = encoder.encode(real)
    pool.codes[:] = code
    raking = Raking(pool, Layout.of(encoder))
    assert raking.acceptance == 1
    assert len(raking.kept(pool, torch.Generator().manual_seed(0))) == 400
