"""Cells: one number for what calibration distinguishes in a column."""

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.calibration.cells import MOST, Cells
from sdv_wgangp.encoding.table import TableEncoder

FRAME = pd.DataFrame(
    {
        "amount": [0.0] * 300 + list(np.geomspace(1, 1e6, 600)) + [np.nan] * 100,
        "few": [1, 2, 3, 4] * 250,
        "kind": np.repeat(list("abcd"), 250),
    }
)


@pytest.fixture(scope="module")
def found():
    """Name of a column -> its cells, and the cell of every row."""
    encoder = TableEncoder(["kind"]).fit(FRAME)
    table = encoder.encode(FRAME, np.random.default_rng(0))
    columns = Cells.all_of(encoder)
    return {
        column.name: (cells, cells.of(table))
        for column, cells in zip(encoder.columns, columns, strict=True)
    }


def test_an_atom_is_a_cell_of_its_own(found):
    _, cells = found["amount"]
    assert len(set(cells[:300])) == 1
    assert cells[0] not in cells[300:]
    assert len(set(cells[900:])) == 1
    assert cells[900] not in cells[:900]


def test_order_is_that_of_the_values_and_missing_is_last(found):
    amount, cells = found["amount"]
    rest = amount.order[cells[300:900]]
    assert (np.diff(rest) >= 0).all()
    assert len(set(rest)) > 150
    assert amount.order[cells[0]] < rest[0]
    assert amount.order[cells[900]] > rest[-1]
    few, cells = found["few"]
    places = [few.order[cells[(FRAME["few"] == value).to_numpy()][0]] for value in (1, 2, 3, 4)]
    assert places == sorted(places)
    assert found["kind"][0].order is None


@pytest.mark.parametrize("name", FRAME.columns)
def test_shares_of_the_coarse_cells_are_those_of_the_table(found, name):
    column, cells = found[name]
    assert column.order is None or column.order.max() < MOST
    assert column.frequencies.sum() == pytest.approx(1)
    have = np.bincount(column.coarse[cells], minlength=len(column.frequencies)) / len(FRAME)
    assert have == pytest.approx(column.frequencies, abs=0.006)


def test_a_position_at_the_upper_edge_stays_in_its_code():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=2_000)})
    encoder = TableEncoder().fit(frame)
    (column,) = Cells.all_of(encoder)
    table = encoder.encode(frame, np.random.default_rng(0))
    table.positions[:] = 1.0
    assert column.of(table).max() < column.size


def test_rare_neighbours_are_one_coarse_cell():
    rare = list(range(100, 120))
    values = [0] * 9_000 + [50] * 780 + rare * 11
    frame = pd.DataFrame({"x": values})
    encoder = TableEncoder(ordinal_columns=["x"]).fit(frame)
    (column,) = Cells.all_of(encoder)
    cells = column.of(encoder.encode(frame))
    coarse = column.coarse[cells]
    assert len(set(cells)) == 22
    assert len(set(coarse[:9_780])) == 2
    assert len(set(coarse[9_780:])) == 4  # runs of just over half a percent
    assert not set(coarse[:9_780]) & set(coarse[9_780:])
    assert np.bincount(coarse, minlength=len(column.frequencies)) / len(frame) == pytest.approx(
        column.frequencies
    )
