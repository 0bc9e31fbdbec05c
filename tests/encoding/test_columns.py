"""Round trips of single columns."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions

finite = st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=False)
levels = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.none(), st.booleans())


def round_trip(column, series):
    codes, positions = column.encode(series, np.random.default_rng(0))
    assert codes.min() >= 0
    assert codes.max() < column.width
    if positions is not None:
        # What the networks see: float32.
        assert positions.dtype == np.float32
        assert positions.min() >= 0
        assert positions.max() <= 1
    return column.decode(codes, positions)


@settings(max_examples=60, deadline=None)
@given(st.lists(levels, min_size=1, max_size=40))
def test_categories_come_back_exactly(values):
    # Python holds 1 == True, and so does a hash table: keep the types apart.
    values = [repr(v) if isinstance(v, bool) else v for v in values]
    series = pd.Series(values, dtype=object, name="c")
    back = round_trip(CategoricalColumn(series), series)
    assert back.isna().tolist() == series.isna().tolist()
    assert back.dropna().tolist() == series.dropna().tolist()


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([True, False, True]),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series(["a", "b", None, "a"], dtype="category"),
        pd.Series(
            pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi", "mid"], ordered=True)
        ),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series([3, 1, 2, 3], dtype="int8"),
        pd.Series(["only"] * 4),
        pd.Series([None, None], dtype=object),
    ],
    ids=lambda s: str(s.dtype),
)
def test_category_dtypes_survive(series):
    back = round_trip(CategoricalColumn(series), series)
    pd.testing.assert_series_equal(back, series, check_names=False)


def test_categories_are_sorted_by_frequency_and_missing_comes_last():
    column = CategoricalColumn(pd.Series(["b", None, "a", "a", "c", "a", "b"]))
    assert list(column.levels) == ["a", "b", "c"]
    assert column.counts.tolist() == [3, 2, 1, 1]
    assert column.missing_code == 3


def test_unseen_category_is_named():
    column = CategoricalColumn(pd.Series(["a", "b"], name="letter"))
    with pytest.raises(ValueError, match="column 'letter' holds 'z'"):
        column.encode(pd.Series(["a", "z"], name="letter"))


@pytest.mark.parametrize("kind", [CategoricalColumn, NumericColumn])
def test_unseen_missing_value_is_named(kind):
    column = kind(pd.Series([1.0, 2.0], name="x"))
    with pytest.raises(ValueError, match="column 'x' has missing values"):
        column.encode(pd.Series([1.0, None], name="x"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(finite, st.none()), min_size=1, max_size=200))
def test_numbers_come_back_up_to_their_interval(values):
    series = pd.Series(values, dtype=float, name="x")
    column = NumericColumn(series)
    back = round_trip(column, series)
    assert back.isna().tolist() == series.isna().tolist()
    known = series.dropna()
    if known.empty:
        return
    # The position is a float32 rank: it resolves 2e-7 of the column's ranks, and a gap between
    # two neighbouring values holds at least 1 / rows of them.
    span = known.max() - known.min()
    tolerance = 1e-4 * span + 1e-9 * known.abs().max()
    assert (back.dropna() - known).abs().max() <= tolerance
    assert back.min() >= known.min()
    assert back.max() <= known.max()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60, unique=True),
    st.integers(1, 6),
)
def test_repeated_integers_are_exact_beyond_2_53(values, repeats):
    series = pd.Series(np.repeat(np.array(values, dtype=np.int64), repeats), name="x")
    back = round_trip(NumericColumn(series), series)
    assert back.dtype == np.int64
    if repeats >= 3:  # then they are plateaus
        assert back.tolist() == series.tolist()
    else:
        assert back.min() >= series.min()
        assert back.max() <= series.max()


def test_unsigned_integers_beyond_2_63():
    series = pd.Series(np.array([0, 2**64 - 1, 2**63, 2**63] * 5, dtype=np.uint64))
    back = round_trip(NumericColumn(series), series)
    assert back.tolist() == series.tolist()


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(pd.date_range("2001-01-01", periods=300, freq="37min")),
        pd.Series(pd.date_range("2001-01-01", periods=300, freq="h", tz="Europe/Paris")),
        pd.Series([*pd.date_range("1850-01-01", periods=20, freq="YS"), pd.NaT]),
        pd.Series(pd.to_timedelta(np.arange(300), unit="s")),
        pd.Series([1, 2, None, 4] * 50, dtype="Int64"),
        pd.Series([1.5, None] * 50, dtype="Float64"),
        pd.Series(np.arange(400, dtype=np.float32)),
        pd.Series(np.arange(400) % 7, dtype="int8"),
    ],
    ids=lambda s: str(s.dtype),
)
def test_numeric_dtypes_survive(series):
    back = round_trip(NumericColumn(series), series)
    assert back.dtype == series.dtype
    assert back.isna().tolist() == series.isna().tolist()
    known = series.dropna()
    error = (back.dropna() - known).abs().max()
    assert error <= (known.max() - known.min()) * 1e-6


def test_all_missing_and_constant_columns():
    missing = NumericColumn(pd.Series([np.nan] * 3, name="x"))
    assert (missing.width, missing.has_positions) == (1, False)
    assert round_trip(missing, pd.Series([np.nan] * 3)).isna().all()
    constant = NumericColumn(pd.Series([7] * 3, name="x"))
    assert (constant.width, constant.has_positions) == (1, False)
    assert round_trip(constant, pd.Series([7] * 3)).tolist() == [7, 7, 7]


def test_few_values_are_atoms_and_many_are_one_rank():
    few = NumericColumn(pd.Series(np.arange(2000) % DEFAULT.max_atoms))
    assert (len(few.atoms), few.bins) == (DEFAULT.max_atoms, 0)
    smooth = NumericColumn(pd.Series(np.random.default_rng(0).normal(size=2000)), continuous=True)
    assert (len(smooth.atoms), smooth.bins) == (0, 1)


def test_options_say_what_is_an_atom_and_how_many_bins_there_are():
    random = np.random.default_rng(0)
    values = pd.Series(np.where(random.random(5000) < 0.1, 0.0, random.lognormal(size=5000)))
    of_few = EncodingOptions(bins=7, min_atom_mass=0.2)
    column = NumericColumn(values, options=of_few)
    assert (len(column.atoms), column.bins) == (0, 7)
    assert NumericColumn(values, options=EncodingOptions(min_rows_per_bin=1_000)).bins == 4
    spiky = EncodingOptions(min_spike_frequency=0.05)
    assert NumericColumn(values, continuous=True, options=spiky).atoms.tolist() == [0.0]
    coarse = EncodingOptions(quantile_knots=20)
    fine, few = (
        NumericColumn(values, options=options).quantiles.values for options in (DEFAULT, coarse)
    )
    assert len(few) < len(fine) / 2


def test_a_spike_in_a_smooth_column_is_an_atom_beside_bins():
    random = np.random.default_rng(0)
    values = np.where(random.random(5000) < 0.4, 0.0, random.lognormal(size=5000))
    column = NumericColumn(pd.Series(values), continuous=True)
    assert (column.atoms.tolist(), column.bins) == ([0.0], 1)
    column = NumericColumn(pd.Series(values))
    assert (column.atoms.tolist(), column.bins) == ([0.0], DEFAULT.bins)
    np.testing.assert_allclose(column.counts[0], (values == 0).sum())
    assert round_trip(column, pd.Series(values))[values == 0].eq(0).all()


def test_a_light_spike_is_a_plateau_of_a_rank_and_an_atom_beside_bins():
    random = np.random.default_rng(0)
    values = np.where(random.random(5000) < 0.1, 0.0, random.lognormal(size=5000))
    column = NumericColumn(pd.Series(values), continuous=True)
    assert (len(column.atoms), column.bins) == (0, 1)
    assert round_trip(column, pd.Series(values))[values == 0].eq(0).all()
    drawn = column.decode(np.zeros(50_000, int), random.random(50_000))
    assert (drawn == 0).mean() == pytest.approx((values == 0).mean(), abs=0.01)
    binned = NumericColumn(pd.Series(values))
    assert (binned.atoms.tolist(), binned.bins) == ([0.0], DEFAULT.bins)


@pytest.mark.parametrize("continuous", [False, True])
def test_a_grid_has_no_atoms(continuous):
    """Every value of a fine grid is heavy; none stands out."""
    values = np.round(np.random.default_rng(0).normal(0, 60, size=20_000))
    column = NumericColumn(pd.Series(values), continuous=continuous)
    assert (len(column.atoms), column.bins) == (0, 1 if continuous else DEFAULT.bins)
    codes, positions = column.encode(pd.Series(values), np.random.default_rng(1))
    assert column.decode(codes, positions).tolist() == values.tolist()


def test_uniform_positions_decode_to_the_training_distribution():
    random = np.random.default_rng(0)
    values = pd.Series(np.where(random.random(20_000) < 0.2, 100.0, random.gamma(2, 50, 20_000)))
    column = NumericColumn(values, continuous=True)
    draws = np.random.default_rng(1)
    codes = draws.choice(column.width, 20_000, p=column.counts / column.counts.sum())
    decoded = column.decode(codes, draws.random(20_000))
    grid = values.quantile([0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    for value in grid:
        assert abs((decoded <= value).mean() - (values <= value).mean()) < 0.02


def test_uniform_ranks_give_heavy_tails_their_mean_and_spread():
    values = pd.Series(np.random.default_rng(0).lognormal(0, 2, 3000))
    column = NumericColumn(values, continuous=True)
    ranks = (np.arange(300_000) + 0.5) / 300_000
    decoded = column.decode(np.zeros(len(ranks), int), ranks)
    assert decoded.mean() == pytest.approx(values.mean(), rel=0.005)
    assert decoded.std() == pytest.approx(values.std(), rel=0.02)
    # Half of the share of a row each: the other half lies between them and the next values.
    assert (decoded == values.max()).sum() == pytest.approx(50, abs=1)
    assert (decoded == values.min()).sum() == pytest.approx(50, abs=1)


def test_training_values_of_a_continuous_column_are_not_replayed():
    values = pd.Series(np.random.default_rng(0).normal(size=20_000))
    column = NumericColumn(values)
    decoded = column.decode(np.zeros(5000, int), np.random.default_rng(1).random(5000))
    assert decoded.isin(set(values)).mean() < 0.005


def test_ranks_of_the_codes_follow_the_values():
    random = np.random.default_rng(0)
    values = pd.Series(np.where(random.random(5000) < 0.4, 1.0, random.lognormal(size=5000)))
    expected = (values.rank() - 0.5) / len(values)
    column = NumericColumn(values)
    codes, positions = column.encode(values, random)
    ranks = column.ranks[codes, 0] + column.ranks[codes, 1] * positions
    assert np.abs(ranks - expected).max() < 0.02 + 0.4  # bins that hold the atom span it
    assert np.corrcoef(ranks, expected)[0, 1] > 0.99
    # A spike at one end cuts nothing, so even a single bin has the ranks of its values.
    values = pd.Series(np.where(random.random(5000) < 0.4, 0.0, random.lognormal(size=5000)))
    expected = (values.rank() - 0.5) / len(values)
    column = NumericColumn(values, continuous=True)
    codes, positions = column.encode(values, random)
    ranks = column.ranks[codes, 0] + column.ranks[codes, 1] * positions
    assert (len(column.atoms), column.bins) == (1, 1)
    assert np.abs(ranks - expected).max() < 0.02


def test_ordinal_columns_decode_to_known_values_only():
    values = pd.Series(np.random.default_rng(0).integers(0, 500, 1000))
    column = NumericColumn(values, atoms_only=True)
    assert column.bins == 0
    assert round_trip(column, values).tolist() == values.tolist()
    with pytest.raises(ValueError, match="holds"):
        column.encode(pd.Series([501]))


def test_infinite_values_are_named():
    with pytest.raises(ValueError, match="column 'income' holds infinite values"):
        NumericColumn(pd.Series([1.0, np.inf], name="income"))


def test_text_is_not_a_number():
    with pytest.raises(ValueError, match="column 'name' is not numeric: declare it categorical"):
        NumericColumn(pd.Series(["a", "b"], name="name"))


def test_other_dtypes_of_the_same_values_have_the_same_codes():
    whole = pd.Series(np.arange(600) % 6, name="x")
    column = NumericColumn(whole)
    assert column.encode(whole.astype(float))[0].tolist() == column.encode(whole)[0].tolist()
    with pytest.raises(ValueError, match=r"column .x. holds .*1\.5"):
        column.encode(pd.Series([1.0, 1.5], name="x"))
    smooth = NumericColumn(pd.Series(np.random.default_rng(0).normal(0, 1e6, 900).round()))
    few = pd.Series([1000, -2000])
    np.testing.assert_array_equal(smooth.encode(few)[1], smooth.encode(few.astype(float))[1])


def test_integers_over_the_whole_range_of_64_bits():
    series = pd.Series(np.array([-(2**63), 2**63 - 1], dtype=np.int64))
    column = NumericColumn(series)
    decoded = column.decode(np.zeros(101, int), np.linspace(0, 1, 101))
    assert decoded.is_monotonic_increasing
    assert (decoded.iloc[0], decoded.iloc[-1]) == (-(2**63), 2**63 - 1)
    assert abs(decoded.iloc[50]) < 2**62


def test_the_largest_floats_do_not_overflow():
    column = NumericColumn(pd.Series([-1.7e308, 1.7e308]))
    decoded = column.decode(np.zeros(11, int), np.linspace(0, 1, 11))
    assert np.isfinite(decoded).all()


def test_decoding_missing_categories_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for series in (pd.Series(["a", None]), pd.Series([1.5, None]), pd.Series([True, None])):
            round_trip(CategoricalColumn(series), series)


@pytest.mark.parametrize("rows", [5_000, 200_000])
def test_the_number_of_knots_is_bounded(rows):
    values = pd.Series(np.random.default_rng(0).normal(size=rows))
    assert len(NumericColumn(values).quantiles.values) < 900
