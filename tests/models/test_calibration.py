"""Rank maps keep order and give the marginal; selection restores what the generator lacks."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models import calibration as calibration_module
from sdv_wgangp.models.calibration import Calibration, RankCalibration

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


def drawn_again(real, odds, rows=60_000, seed=3):
    """Rows of a table drawn again, with these odds."""
    random = np.random.default_rng(seed)
    return real.iloc[random.choice(len(real), rows, p=odds / odds.sum())].reset_index(drop=True)


def generator_of(pool, asked=None):
    """Makes the rows of a pool, from the beginning again each time."""

    def generate(count):
        if asked is not None:
            asked.append(count)
        return pool.rows(torch.arange(count) % len(pool))

    return generate


@pytest.fixture(scope="module")
def torn():
    """A table, its encoder, and generated rows without its dependence, marginals right."""
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    random = np.random.default_rng(1)
    wrong = real.apply(lambda column: random.permutation(column.to_numpy()))
    # Half of the rows are right, or there would be no rows to select.
    mixed = pd.concat([wrong, frame(seed=2)[lambda rows: rows.smooth.between(*_range(real))]])
    mixed = mixed.sample(frac=1, random_state=0).reset_index(drop=True)
    for name in ("smooth", "spiked", "gaps"):
        mixed[name] = mixed[name].clip(real[name].min(), real[name].max())
    return real, encoder, mixed


def _range(real):
    return real["smooth"].min(), real["smooth"].max()


def test_selection_restores_a_dependence(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    table = encoder.encode(real, np.random.default_rng(1))
    calibration = Calibration(table, encoder, generator_of(pool), random)
    after = encoder.decode(calibration.draw(10_000, generator_of(pool), random))

    def wrong_level(rows):  # level is "a" where the latent of smooth is positive
        return ((rows["smooth"] > 1) != (rows["level"] == "a")).mean()

    def rank_correlation(rows):
        return spearmanr(rows["smooth"], rows["gaps"], nan_policy="omit").statistic

    assert wrong_level(real) == 0
    assert wrong_level(mixed) > 0.2
    assert wrong_level(after) < 0.03
    assert rank_correlation(mixed) < 0.6
    assert rank_correlation(after) > 0.97
    assert abs((after["level"] == "a").mean() - (real["level"] == "a").mean()) < 0.02


def test_calibration_draws_as_many_rows_as_asked_for(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    table = encoder.encode(real, np.random.default_rng(1))
    asked = []
    generate = generator_of(pool, asked)
    calibration = Calibration(table, encoder, generate, torch.Generator().manual_seed(0))
    for rows in (0, 1, 7, 5_000):
        drawn = calibration.draw(rows, generate, torch.Generator().manual_seed(1))
        assert len(drawn) == rows
    assert asked[-1] < 5_000 / calibration.acceptance * 1.1 + 16
    assert 1 / calibration_module.MAX_WEIGHT < calibration.acceptance < 0.7


def test_most_rows_are_kept_where_nothing_is_wrong():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    table = encoder.encode(real, np.random.default_rng(0))
    other = frame(seed=5)
    for name in ("smooth", "spiked", "gaps"):
        other[name] = other[name].clip(real[name].min(), real[name].max())
    pool = encoder.encode(other, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    calibration = Calibration(table, encoder, generator_of(pool), random)
    assert calibration.acceptance > 0.6


def test_the_limit_cuts_off_its_share():
    weights = np.random.default_rng(0).exponential(size=10_000)
    limit = calibration_module._limit_that_cuts(weights, 0.01)
    assert np.maximum(weights - limit, 0).sum() / weights.sum() == pytest.approx(0.01, rel=0.05)
    assert calibration_module._limit_that_cuts(np.ones(7), 0.01) == 1
