"""Calibration of values: marginals as in training, and what has to stay stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.value_calibration import ValueCalibration


@pytest.fixture(scope="module")
def mapped(frame):
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
