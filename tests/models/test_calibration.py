"""Selection restores what the generator lacks; values in bins get their marginals."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models import calibration as calibration_module
from sdv_wgangp.models.balancing import needed
from sdv_wgangp.models.calibration import Calibration, ValueCalibration
from sdv_wgangp.models.tabular import FAR

ROWS = 20_000


def frame(shift=0.0, seed=0, rows=ROWS):
    """A smooth column, one with a spike, one of few values and one with missing values."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=rows) + shift
    return pd.DataFrame(
        {
            "smooth": np.exp(latent),
            "spiked": np.where(latent < 0.3, 0.0, latent + random.normal(size=rows) ** 2),
            "few": np.clip(np.round(latent * 2), -6, 6).astype(int),
            "gaps": np.where(random.random(rows) < 0.2, np.nan, latent.clip(-2.5, 2.5)),
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
    ValueCalibration(pool, encoder).apply(table, random)
    return real, wrong, encoder.decode(table)


@pytest.mark.parametrize("name", ["smooth", "spiked", "gaps"])
def test_values_in_bins_get_their_training_marginals(mapped, name):
    real, wrong, after = mapped
    known = real[name].mode()[0] if name == "spiked" else None
    real, wrong, after = (rows.loc[rows[name] != known, name] for rows in (real, wrong, after))
    levels = np.linspace(0.02, 0.98, 49)
    wanted = real.quantile(levels)
    assert np.abs(wrong.quantile(levels) - wanted).mean() > 0.1
    # A quantile may stand half a percent of the rows off.
    low, high = real.quantile(levels - 0.008), real.quantile(levels + 0.008)
    got = after.quantile(levels).to_numpy()
    assert ((got >= low.to_numpy() - 1e-6) & (got <= high.to_numpy() + 1e-6)).all()


def test_atoms_order_missing_values_and_categories_stay(mapped):
    _, wrong, after = mapped
    assert spearmanr(after["smooth"], wrong["smooth"]).statistic > 0.9999
    assert (after["gaps"].isna() == wrong["gaps"].isna()).all()
    assert (after["level"] == wrong["level"]).all()
    assert (after["few"] == wrong["few"]).mean() > 0.99  # but for rare extremes
    assert ((after["spiked"] == 0) == (wrong["spiked"] == 0)).all()


def test_rare_extremes_come_back():
    """A column of atoms whose rare ends the generator never gives: from the next values."""
    values = np.repeat([0, 10, 20, 30, 90], [20, 4_000, 3_000, 2_950, 30])
    real = pd.DataFrame({"few": values})
    encoder = TableEncoder(ordinal_columns=["few"]).fit(real)
    generated = real.assign(few=real["few"].replace({0: 10, 90: 30}))
    pool = encoder.encode(generated)
    table = encoder.encode(pd.concat([generated] * 4, ignore_index=True))
    ValueCalibration(pool, encoder).apply(table, torch.Generator().manual_seed(0))
    counts = encoder.decode(table)["few"].value_counts() / 4
    assert counts[0] == pytest.approx(20, abs=10)
    assert counts[90] == pytest.approx(30, abs=12)
    assert counts[20] == 3_000


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_long_tail_is_as_long_as_in_training(mirrored):
    """Rare neighbouring values: their rows are spread as in training, in their order."""
    sign = -1 if mirrored else 1
    tail = np.arange(1, 21) * sign
    counts = np.linspace(60, 20, 20).astype(int)
    real = pd.DataFrame({"tail": np.repeat([0, *tail], [90_000, *counts])})
    encoder = TableEncoder(ordinal_columns=["tail"]).fit(real)
    # A tail of as many rows, none further than 7, and one row in eight lost to 0.
    random = np.random.default_rng(0)
    short = random.permutation(real["tail"]).astype(float)
    short = sign * np.ceil(np.abs(short) * 0.35)
    short[(short != 0) & (random.random(len(short)) < 0.125)] = 0
    short = pd.DataFrame({"tail": short.astype(int)})
    table = encoder.encode(short)
    ValueCalibration(encoder.encode(short), encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)["tail"]
    found = after.value_counts().reindex(tail, fill_value=0).to_numpy()
    assert np.abs(found - counts).max() < 4 * np.sqrt(counts.max())
    assert (after != 0).sum() == pytest.approx(counts.sum(), abs=40)
    assert after.std() == pytest.approx(real["tail"].std(), rel=0.05)
    rows = (short["tail"] != 0).to_numpy()
    assert (after[rows] != 0).all()
    assert spearmanr(after[rows], short["tail"][rows]).statistic > 0.97


def test_rare_values_between_common_ones_are_a_run_of_their_own():
    values, counts = [0, 1, 2, 3, 4, 5], np.array([9_000, 40, 30, 20, 9_000, 9_000])
    real = pd.DataFrame({"few": np.repeat(values, counts)})
    encoder = TableEncoder(ordinal_columns=["few"]).fit(real)
    wrong = real["few"].replace({1: 2, 3: 2})
    table = encoder.encode(pd.DataFrame({"few": np.tile(wrong, 20)}))
    ValueCalibration(table, encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)["few"].value_counts().sort_index() / 20
    assert (after[[0, 4, 5]] == 9_000).all()
    assert after[[1, 2, 3]].to_numpy() == pytest.approx(counts[1:4], rel=0.15)


def test_one_value_can_give_both_ends():
    real = pd.DataFrame({"few": np.repeat([0, 1, 2], [30, 9_940, 30])})
    encoder = TableEncoder(ordinal_columns=["few"]).fit(real)
    table = encoder.encode(pd.DataFrame({"few": [1] * 40_000}))
    ValueCalibration(table, encoder).apply(table, torch.Generator().manual_seed(0))
    counts = encoder.decode(table)["few"].value_counts()
    assert counts[0] == pytest.approx(120, abs=45)
    assert counts[2] == pytest.approx(120, abs=45)


def test_a_table_without_ordered_columns():
    real = pd.DataFrame({"level": ["a", "b"] * 50})
    encoder = TableEncoder().fit(real)
    pool = encoder.encode(real)
    ValueCalibration(pool, encoder).apply(pool, torch.Generator().manual_seed(0))
    assert encoder.decode(pool)["level"].tolist() == real["level"].tolist()


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
    assert asked[-1] < needed(5_000) / calibration.acceptance * 1.1 + 16
    assert 1 / calibration_module.MAX_WEIGHT < calibration.acceptance < 0.7


def test_most_rows_are_kept_where_nothing_is_wrong():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    table = encoder.encode(real, np.random.default_rng(0))
    other = frame(seed=5, rows=200_000)
    for name in ("smooth", "spiked", "gaps"):
        other[name] = other[name].clip(real[name].min(), real[name].max())
    pool = encoder.encode(other, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    calibration = Calibration(table, encoder, generator_of(pool), random)
    assert calibration.acceptance > 0.6


def test_the_limit_cuts_off_little():
    weights = np.random.default_rng(0).gamma(20.0, size=10_000)
    limit = calibration_module.limit(weights)
    cut = np.maximum(weights - limit, 0).sum() / weights.sum()
    assert cut == pytest.approx(calibration_module.CUT_OFF, rel=0.05)
    assert calibration_module.limit(np.ones(7)) == 1


def test_the_limit_is_a_multiple_of_what_it_leaves():
    weights = np.random.default_rng(0).pareto(1.0, 10_000)
    limit = calibration_module.limit(weights)
    mean = np.minimum(weights, limit).mean()
    assert limit == pytest.approx(calibration_module.MAX_WEIGHT * mean, rel=0.01)


def test_distances_tell_what_a_generator_hardly_makes():
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    table = encoder.encode(real, np.random.default_rng(0))
    lost = frame(seed=3)
    for name in ("smooth", "spiked"):
        lost[name] = lost[name].clip(real[name].min(), real[name].max())
    lost["gaps"] = np.nan  # 80 % of it are lost, and nothing else
    pool = encoder.encode(lost, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    calibration = Calibration(table, encoder, generator_of(pool), random)
    names = [column.name for column in encoder.columns]
    distances = dict(zip(names, calibration.distances, strict=True))
    assert distances.pop("gaps") == pytest.approx(0.8, abs=0.02)
    assert max(distances.values()) < 0.03


def test_distances_of_many_levels_are_no_noise():
    """As many levels as rows: a level more or less in the pool is not told apart."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3_000))
    real, other = (
        pd.DataFrame({"level": random.choice(3_000, rows, p=shares).astype(str)})
        for rows in (3_000, 200_000)
    )
    encoder = TableEncoder(["level"]).fit(real)
    seen = other[other["level"].isin(real["level"])].reset_index(drop=True)
    pool = encoder.encode(seen, np.random.default_rng(0))
    calibration = Calibration(
        encoder.encode(real, np.random.default_rng(0)),
        encoder,
        generator_of(pool),
        torch.Generator().manual_seed(0),
    )
    (distance,) = calibration.distances
    assert distance < FAR
