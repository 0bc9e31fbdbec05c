"""Raking: weights that give the training marginals."""

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.calibration.raking import fit_raking
from sdv_wgangp.calibration.selection import weight_limit
from sdv_wgangp.encoding.table import TableEncoder


@pytest.fixture(scope="module")
def real():
    random = np.random.default_rng(0)
    x = random.normal(size=20_000)
    return pd.DataFrame(
        {
            "smooth": np.exp(x),
            "spiked": np.where(x < 0.3, 0.0, x + random.normal(size=len(x)) ** 2),
            "gaps": np.where(random.random(len(x)) < 0.2, np.nan, x.clip(-2.5, 2.5)),
            "level": np.where(x > 0, "a", "b"),
        }
    )


@pytest.fixture(scope="module")
def tilted(real):
    """Its rows drawn again, too many of high ``smooth`` and of level "a"."""
    random = np.random.default_rng(3)
    odds = np.exp(0.4 * (real["level"] == "a") + 0.15 * np.log(real["smooth"]).clip(-2, 2))
    return real.iloc[random.choice(len(real), 60_000, p=odds / odds.sum())].reset_index(drop=True)


def rake(real, generated, before=None):
    encoder = TableEncoder(["level"]).fit(real)
    columns = Cells.all_of(encoder)
    pool = encoder.encode(generated, np.random.default_rng(0))
    cells = [column.of(pool) for column in columns]
    before = np.ones(len(pool)) if before is None else before
    counts = np.ones(len(pool))
    raking = fit_raking(columns, cells, before, counts, weight_limit)
    return before * raking.weights(cells)


def share(rows, weights, flag):
    return np.average(flag(rows), weights=weights)


def test_weights_give_the_training_marginals(real, tilted):
    weights = rake(real, tilted)
    assert (tilted["level"] == "a").mean() > 0.58
    flags = [
        lambda rows: rows["level"] == "a",
        lambda rows: rows["spiked"] == 0,
        lambda rows: rows["gaps"].isna(),
    ]
    for name in ("smooth", "gaps"):
        for cut in real[name].quantile(np.linspace(0.05, 0.95, 10)):
            flags.append(lambda rows, name=name, cut=cut: rows[name] <= cut)
    for flag in flags:
        assert share(tilted, weights, flag) == pytest.approx(flag(real).mean(), abs=0.012)


def test_weights_that_are_there_already_count(real, tilted):
    """Rows that were weighed back to the table need no raking; weights may do the opposite."""
    odds = np.exp(0.4 * (tilted["level"] == "a") + 0.15 * np.log(tilted["smooth"]).clip(-2, 2))
    right = rake(real, tilted, 1 / odds.to_numpy())
    assert np.std(right * odds / np.mean(right * odds)) < 0.12
    worse = rake(real, tilted, odds.to_numpy())
    assert share(tilted, worse, lambda rows: rows["level"] == "a") == pytest.approx(
        (real["level"] == "a").mean(), abs=0.012
    )


def test_no_weight_where_nothing_is_wrong(real):
    weights = rake(real, real)
    assert np.std(weights) < 0.02


def test_a_level_that_is_never_made_does_not_stop_raking():
    real = pd.DataFrame({"level": ["a", "b", "c", "c"] * 100})
    weights = rake(real, pd.DataFrame({"level": ["a"] * 400}))
    assert (weights == weights[0]).all()


def test_no_factor_is_beyond_its_bound():
    real = pd.DataFrame({"level": ["a"] * 3_000 + ["b"] * 3_000})
    generated = pd.DataFrame({"level": ["a"] * 5_990 + ["b"] * 10})
    weights = rake(real, generated)
    assert weights.max() == DEFAULT.max_factor
