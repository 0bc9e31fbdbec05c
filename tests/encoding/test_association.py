"""Association of columns, and what the encoding makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.association import strongest_associations
from sdv_wgangp.encoding.columns import BINS
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


def test_any_dependence_is_seen_and_none_is_near_zero(frame):
    columns = TableEncoder().fit(frame).columns
    x, square, alone = strongest_associations(frame, columns, [0, 1, 2])
    assert x == square
    assert x > 0.4
    assert alone < 0.1


def test_a_column_is_fully_associated_with_its_copy():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=2000)})
    table["b"] = 3 * table["a"] + 1
    columns = TableEncoder().fit(table).columns
    assert strongest_associations(table, columns, [0])[0] == pytest.approx(1, abs=0.01)


def test_smooth_columns_that_depend_on_nothing_are_binned(frame):
    bins = {c.name: getattr(c, "bins", None) for c in TableEncoder().fit(frame).columns}
    assert bins == {"x": 1, "square": 1, "alone": BINS, "kind": None}


def test_a_single_column_has_no_association():
    table = pd.DataFrame({"a": np.random.default_rng(0).normal(size=500)})
    assert TableEncoder().fit(table).columns[0].bins == BINS
