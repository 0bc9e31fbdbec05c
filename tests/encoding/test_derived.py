"""Columns that follow from other columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder

STATES = {"Lyon": "France", "Paris": "France", "Rome": "Italy", "Oslo": None}


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    city = random.choice(list(STATES), 400)
    return pd.DataFrame(
        {
            "state": pd.Series(city).map(STATES),
            "city": city,
            "number": pd.Series(city).map({c: 10 * i for i, c in enumerate(STATES)}),
            "other": random.choice(["a", "b"], 400),
            "size": random.normal(size=400),
        }
    )


def test_determined_columns_are_rebuilt_not_modelled(frame):
    encoder = TableEncoder().fit(frame)
    assert [c.name for c in encoder.columns] == ["city", "other", "size"]
    assert {d.column.name: encoder.columns[d.source].name for d in encoder.derived} == {
        "state": "city",
        "number": "city",
    }
    assert Layout.of(encoder).columns == 3
    back = encoder.decode(encoder.encode(frame))
    assert list(back) == list(frame)
    pd.testing.assert_frame_equal(back.drop(columns="size"), frame.drop(columns="size"))


def test_one_exception_is_enough_to_model_a_column(frame):
    frame.loc[399, "state"] = "France" if frame.loc[399, "state"] != "France" else "Italy"
    encoder = TableEncoder().fit(frame)
    assert [d.column.name for d in encoder.derived] == ["number"]


def test_levels_seen_too_rarely_prove_nothing():
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(60)], "x": list("ab") * 30})
    assert TableEncoder().fit(frame).derived == []


def test_constants_are_left_alone(frame):
    encoder = TableEncoder().fit(frame.assign(constant=1))
    assert "constant" in [c.name for c in encoder.columns]


def test_the_source_of_a_derived_column_keeps_its_codes():
    """It depends on another number, strongly enough to become a rank."""
    random = np.random.default_rng(0)
    year = random.integers(1970, 2020, 5000)
    table = pd.DataFrame({"year": year, "age": 2020 - year})
    table["income"] = 100.0 * table["age"] + random.normal(0, 20, 5000)
    encoder = TableEncoder().fit(table)
    assert [derived.column.name for derived in encoder.derived] == ["age"]
    back = encoder.decode(encoder.encode(table, random))
    assert (back["year"] == table["year"]).all()
    assert (back["age"] == table["age"]).all()
