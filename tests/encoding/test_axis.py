"""The line on which a numeric column's atoms and bins stand in the order of their values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdv_wgangp.encoding.axis import RankAxis
from sdv_wgangp.encoding.columns import NumericColumn


def test_atoms_cut_the_bin_they_lie_in():
    # Two bins of 30 rows each; an atom of 20 rows in the middle of the second, one of 20 before.
    axis = RankAxis(np.array([20, 20]), np.array([0.0, 0.75]), 2, 60)
    np.testing.assert_array_equal(axis.codes, [0, 2, 3, 1, 3])
    np.testing.assert_allclose(axis.low, [0, 0, 0, 0, 0.5])
    np.testing.assert_allclose(axis.high, [1, 1, 0.5, 1, 1])
    np.testing.assert_allclose(axis.edges, [0, 0.2, 0.5, 0.65, 0.85, 1])
    np.testing.assert_allclose(axis.spans(), [[0, 0.2], [0.65, 0.2], [0.2, 0.3], [0.5, 0.5]])


def test_atoms_alone_and_bins_alone():
    atoms = RankAxis(np.array([1, 3]), np.zeros(2), 0, 0)
    np.testing.assert_allclose(atoms.edges, [0, 0.25, 1])
    codes, _ = atoms.cells(np.array([0.0, 0.24, 0.26, 1.0]))
    np.testing.assert_array_equal(codes, [0, 0, 1, 1])
    bins = RankAxis(np.empty(0), np.empty(0), 4, 100)
    np.testing.assert_allclose(bins.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(bins.ranks(np.array([2]), np.array([0.5])), [0.625])


def test_an_atom_on_the_edge_of_a_bin_cuts_nothing():
    axis = RankAxis(np.array([10]), np.array([0.5]), 2, 10)
    np.testing.assert_array_equal(axis.codes, [1, 0, 2])


def columns():
    heavy = st.lists(st.integers(-3, 3), min_size=0, max_size=120)
    light = st.lists(
        st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 4)), min_size=1, max_size=400
    )
    return st.tuples(heavy, light, st.booleans(), st.booleans())


@settings(max_examples=80, deadline=None)
@given(columns())
def test_cells_and_ranks_are_inverse_and_follow_the_values(parts):
    heavy, light, missing, continuous = parts
    values = [float(v) for v in heavy * 5] + light + [np.nan] * (3 * missing)
    series = pd.Series(values, name="x")
    column = NumericColumn(series, continuous=continuous)
    axis = column.axis
    grid = np.linspace(0, 1, 301)
    codes, positions = axis.cells(grid)
    assert codes.min() >= 0
    assert codes.max() < axis.width
    assert positions.min() >= 0
    assert positions.max() <= 1
    back = axis.ranks(codes, positions)
    np.testing.assert_allclose(back, grid, atol=1e-6)
    decoded = column.decode(codes, positions)
    assert (np.diff(decoded.to_numpy()) >= 0).all()
    assert decoded.notna().all()


def test_the_training_column_is_uniform_on_its_axis():
    random = np.random.default_rng(0)
    values = np.where(random.random(20_000) < 0.3, 0.0, random.normal(size=20_000))
    values[:2_000] = 1.5
    column = NumericColumn(pd.Series(values, name="x"))
    assert len(column.atoms) == 2
    assert column.bins > 1
    codes, positions = column.encode(pd.Series(values, name="x"), random)
    ranks = np.sort(column.axis.ranks(codes, positions))
    assert np.abs(ranks - (np.arange(20_000) + 0.5) / 20_000).max() < 0.02


@pytest.mark.parametrize("bins", [1, 7, 20])
def test_each_code_owns_its_share(bins):
    axis = RankAxis(np.array([5, 40, 5]), np.array([0.1, 0.5, 0.93]), bins, 50)
    share = np.zeros(axis.width)
    np.add.at(share, axis.codes, np.diff(axis.edges))
    np.testing.assert_allclose(share, [0.05, 0.4, 0.05] + [0.5 / bins] * bins)
