"""Association of columns, and what the encoding makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.association import strongest_associations
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions
from sdv_wgangp.encoding.table import TableEncoder


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    x = random.normal(size=3000)
    return pd.DataFrame(
        {
            "x": x,
            "square": x**2 + 0.1 * random.normal(size=3000),
            "alone": random.normal(size=3000),
            "kind": np.where(random.random(3000) < 0.5, "a", "b"),
        }
    )


def associations(table, discrete=()):
    columns = TableEncoder(discrete).fit(table).columns
    return strongest_associations(table, [c for c in columns if c.ranks is not None])


def test_any_dependence_is_seen_and_none_is_near_zero(frame):
    x, square, alone = associations(frame)
    assert x == square
    assert x > 0.4
    assert alone < 0.1


def test_a_column_is_fully_associated_with_its_copy():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=2000)})
    table["b"] = 3 * table["a"] + 1
    assert associations(table)[0] == pytest.approx(1, abs=0.01)


def test_a_table_worked_by_hand():
    """Two halves that agree in 3 of 4 rows: phi^2 = 1/4, corrected by the 9 (10 - 1) of tenths."""
    table = pd.DataFrame({"a": [0, 0, 0, 0, 1, 1, 1, 1] * 50, "b": [0, 0, 0, 1, 1, 1, 1, 0] * 50})
    n = 400
    least = 2 - 1 / (n - 1) - 1
    expected = np.sqrt((1 / 4 - 1 / (n - 1)) / least)
    np.testing.assert_allclose(associations(table), expected)


def test_constant_and_missing_columns_are_associated_with_nothing():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=500), "b": 3.0, "c": np.nan})
    np.testing.assert_allclose(associations(table), 0)


def bins_of(table, ordinal=()):
    columns = TableEncoder(ordinal_columns=ordinal).fit(table).columns
    return {c.name: getattr(c, "bins", None) for c in columns}


def test_columns_that_depend_on_others_are_one_rank_and_the_others_binned(frame):
    assert bins_of(frame) == {"x": 1, "square": 1, "alone": DEFAULT.bins, "kind": None}


def test_few_values_are_atoms_unless_they_depend_strongly_on_another_number():
    random = np.random.default_rng(0)
    latent = random.normal(size=4000)
    noise = random.normal(size=(3, 4000))
    table = pd.DataFrame(
        {
            "grade": (10 * (latent + 0.3 * noise[0])).round().clip(-30, 30),
            "score": (10 * (latent + 0.3 * noise[1])).round().clip(-30, 30),
            "stage": (2 * latent).round().clip(-4, 4),
            "alone": (10 * noise[2]).round().clip(-30, 30),
        }
    )
    assert bins_of(table) == {"grade": 1, "score": 1, "stage": 0, "alone": 0}
    assert bins_of(table, ["grade"])["grade"] == 0


def test_options_say_from_which_association_on_a_column_is_a_rank(frame):
    options = EncodingOptions(association_bins_to_rank=2, bins=50)
    columns = TableEncoder(options=options).fit(frame).columns
    assert {getattr(column, "bins", 50) for column in columns} == {50}
    few = EncodingOptions(association_classes=2)
    assert TableEncoder(options=few).fit(frame).columns[1].bins == DEFAULT.bins  # symmetric


def test_a_single_column_has_no_association():
    table = pd.DataFrame({"a": np.random.default_rng(0).normal(size=500)})
    assert TableEncoder().fit(table).columns[0].bins == DEFAULT.bins
