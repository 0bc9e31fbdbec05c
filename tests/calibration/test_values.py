"""Calibration of values: marginals as in training, and what has to stay stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.calibration.values import fit_values
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder


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
    fit_values(pool, encoder).apply(table, random)
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
    few = wrong["few"].abs() < 5  # the others are rare
    assert (after["few"] == wrong["few"])[few].all()
    assert ((after["spiked"] == 0) == (wrong["spiked"] == 0)).all()


TAIL = np.arange(1, 21)
IN_TAIL = np.linspace(60, 20, 20).astype(int)


def tailed(rows=90_000):
    return pd.Series(np.repeat([0, *TAIL], [rows, *IN_TAIL]))


def as_codes(encoder, **columns):
    return encoder.encode(pd.DataFrame(columns))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_long_tail_is_as_long_as_in_training(mirrored):
    """Rare neighbouring values: their rows are spread as in training, in their order."""
    sign = -1 if mirrored else 1
    real = sign * tailed()
    encoder = TableEncoder(ordinal_columns=["x"]).fit(pd.DataFrame({"x": real}))
    short = sign * np.ceil(tailed() * 0.35).astype(int)  # none further than 7
    table = as_codes(encoder, x=short)
    fit_values(table, encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)["x"]
    assert ((after == 0) == (short == 0)).all()
    found = after.abs().value_counts().reindex(TAIL, fill_value=0).to_numpy()
    assert np.abs(found - IN_TAIL).max() < 4 * np.sqrt(IN_TAIL.max())
    assert after.std() == pytest.approx(real.std(), rel=0.05)
    rows = short != 0
    assert spearmanr(after[rows], short[rows]).statistic > 0.97


def test_rare_values_between_common_ones_are_a_run_of_their_own():
    values, counts = [0, 1, 2, 3, 4, 5], np.array([9_000, 40, 30, 20, 9_000, 9_000])
    real = pd.Series(np.repeat(values, counts))
    encoder = TableEncoder(ordinal_columns=["x"]).fit(pd.DataFrame({"x": real}))
    table = as_codes(encoder, x=np.tile(real.replace({1: 2, 3: 2}), 20))
    fit_values(table, encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)["x"].value_counts().sort_index() / 20
    assert (after[[0, 4, 5]] == 9_000).all()
    assert after[[1, 2, 3]].to_numpy() == pytest.approx(counts[1:4], rel=0.15)


def test_values_that_differ_by_chance_alone_stay():
    """Twenty tables of a perfect generator: a run is mapped in one of a hundred at most."""
    encoder = TableEncoder(ordinal_columns=["x"]).fit(pd.DataFrame({"x": tailed()}))
    random = np.random.default_rng(0)
    mapped = 0
    for _ in range(20):
        pool = as_codes(encoder, x=random.choice(tailed(), 50_000))
        mapped += len(fit_values(pool, encoder).maps)
    assert mapped <= 2


def test_what_is_equal_in_a_row_mostly_stays_so():
    """Two columns with the same tail, too short in both."""
    real, short = tailed(), np.ceil(tailed() * 0.35).astype(int)
    encoder = TableEncoder(ordinal_columns=["a", "b"])
    one_differs = real.where(np.arange(len(real)) != 0, 1)  # or `b` would follow from `a`
    encoder.fit(pd.DataFrame({"a": real, "b": one_differs}))
    table = as_codes(encoder, a=short, b=short)
    fit_values(table, encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)
    assert after["a"].max() == after["b"].max() == 20
    rows = after[after["a"] > 0]
    assert (rows["a"] == rows["b"]).mean() > 0.95


def test_columns_that_are_kept():
    encoder = TableEncoder(ordinal_columns=["x"]).fit(pd.DataFrame({"x": tailed()}))
    short = np.ceil(tailed() * 0.35).astype(int)
    table = as_codes(encoder, x=short)
    values = fit_values(table, encoder)
    values.apply(table, torch.Generator().manual_seed(0), kept={0: None})
    assert (encoder.decode(table)["x"] == short).all()


def test_mostly_missing_columns_have_rare_values_too():
    """As cells count them: in all rows."""
    values = np.repeat(np.arange(20.0), 50)
    real = pd.DataFrame({"x": np.concatenate([values, np.full(39_000, np.nan)])})
    encoder = TableEncoder(ordinal_columns=["x"]).fit(real)
    table = encoder.encode(real // 4 * 4)
    fit_values(table, encoder).apply(table, torch.Generator().manual_seed(0))
    after = encoder.decode(table)["x"]
    assert (after.isna() == real["x"].isna()).all()
    assert after.value_counts().min() > 20
    assert after.nunique() == 20


def test_a_table_without_ordered_columns():
    real = pd.DataFrame({"level": ["a", "b"] * 50})
    encoder = TableEncoder().fit(real)
    pool = encoder.encode(real)
    fit_values(pool, encoder).apply(pool, torch.Generator().manual_seed(0))
    assert encoder.decode(pool)["level"].tolist() == real["level"].tolist()
