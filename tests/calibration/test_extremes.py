"""Extremes: in large samples, seldom in small ones, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.calibration.extremes import reach_extremes
from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder

ROWS = 2_000


@pytest.fixture(scope="module")
def training():
    random = np.random.default_rng(0)
    smooth = random.lognormal(0, 2, ROWS)
    return pd.DataFrame(
        {
            "smooth": smooth,
            "gaps": np.where(random.random(ROWS) < 0.3, np.nan, -smooth),
            "spiked": np.where(random.random(ROWS) < 0.4, 0.0, random.normal(size=ROWS)),
            "few": np.repeat([0, 10, 20, 30, 90], [1, 800, 700, 498, 1]),
            "level": random.choice(["a", "b"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def encoder(training):
    return TableEncoder(["level"], ["few"]).fit(training)


def reached(encoder, frame, seed=0):
    table = encoder.encode(frame, np.random.default_rng(seed))
    table = EncodedTable(table.codes.clone(), table.positions.clone())
    before = encoder.decode(table)
    reach_extremes(table, encoder, torch.Generator().manual_seed(seed))
    return before, encoder.decode(table)


def without_extremes(training):
    inner = training.copy()
    for name in ("smooth", "gaps", "spiked"):
        order = inner[name].dropna().sort_values()
        for end, following in ((order.index[0], 1), (order.index[-1], -2)):
            inner.loc[end, name] = order.iloc[following]
    return inner.assign(few=inner["few"].replace({0: 10, 90: 30}))


def test_a_sample_of_the_tables_size_has_them_all_once(training, encoder):
    before, after = reached(encoder, without_extremes(training))
    for name in ("smooth", "gaps", "spiked", "few"):
        for extreme in (training[name].min(), training[name].max()):
            assert (before[name] == extreme).sum() == 0
            assert (after[name] == extreme).sum() == 1
        changed = (before[name] != after[name]) & ~(before[name].isna() & after[name].isna())
        assert changed.sum() == 2
    assert (before["level"] == after["level"]).all()


def test_the_value_next_to_it_becomes_the_extreme(training, encoder):
    before, after = reached(encoder, without_extremes(training))
    assert after["smooth"].idxmax() == before["smooth"].idxmax()
    assert after["smooth"].idxmin() == before["smooth"].idxmin()


def test_extremes_that_are_there_stay_alone(training, encoder):
    before, after = reached(encoder, training)
    pd.testing.assert_frame_equal(before, after)


def test_small_samples_have_them_as_seldom_as_expected(training, encoder):
    inner = without_extremes(training).sort_values("smooth").tail(50)
    found = [
        (reached(encoder, inner, seed)[1]["smooth"] == training["smooth"].max()).any()
        for seed in range(400)
    ]
    assert 1 <= sum(found) <= 25  # 10 expected


def test_what_is_far_from_an_extreme_stays(training, encoder):
    """A sample of other rows, however many: its largest value is no neighbour of the largest."""
    low = training.sort_values("smooth").head(ROWS - 2 * DEFAULT.extreme_rows)
    low = low.assign(few=10)
    many = pd.concat([low] * 3, ignore_index=True)
    before, after = reached(encoder, many)
    assert after["smooth"].max() == before["smooth"].max() < training["smooth"].max()
    assert after["few"].max() == 10  # hundreds of rows had 20 or 30
    assert after["few"].min() == 0  # next to 10


def test_empty_samples_and_columns_without_values(encoder, training):
    _, after = reached(encoder, training.assign(gaps=np.nan))
    assert after["gaps"].isna().all()
    table = encoder.encode(training.head(0))
    reach_extremes(table, encoder, torch.Generator().manual_seed(0))
    assert len(table) == 0
