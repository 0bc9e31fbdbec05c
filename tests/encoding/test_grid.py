"""Steps of columns: learned where chance does not explain them, and kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.grid import DAY, SECOND, DateGrid, Grid, decimals_of

ROWS = 600
HOUR = 3600 * SECOND


def whole(high: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, rows)


def drawn(series: pd.Series, **options) -> pd.Series:
    """What a column decodes to at many positions of its bins."""
    column = NumericColumn(series, **options)
    codes = np.arange(len(column.atoms), len(column.atoms) + column.bins).repeat(500)
    return column.decode(codes, np.random.default_rng(1).random(len(codes)))


DECIMALS = {
    "float64": pd.Series(whole(10_000) / 100),
    "float32": pd.Series(whole(10_000) / 100, dtype="float32"),
    "float16": pd.Series(whole(1_000) / 100, dtype="float16"),
    "Float32": pd.Series(whole(10_000) / 100, dtype="Float32"),
    "Float64": pd.Series(whole(10_000) / 100, dtype="Float64"),
    "Arrow float": pd.Series(whole(10_000) / 100).astype("float[pyarrow]"),
    "Arrow double": pd.Series(whole(10_000) / 100).astype("double[pyarrow]"),
}


@pytest.mark.parametrize("name", DECIMALS)
def test_decimals_are_those_of_the_dtype(name):
    real = DECIMALS[name]
    found = drawn(real)
    assert found.dtype == real.dtype
    floats = found.astype(np.float64)
    in_decimals = np.round(floats, 2).astype(real.dtype).astype(np.float64)
    assert (in_decimals == floats).all()
    assert found.between(real.min(), real.max()).all()


def test_short_floats_without_decimals_get_none():
    values = np.random.default_rng(0).normal(size=ROWS).astype(np.float32)
    values = np.unique(np.append(values, 0)).astype(np.float64)
    assert decimals_of(values, np.dtype(np.float32)) is None
    assert drawn(pd.Series(values, dtype="float32")).nunique() > 3000


STEPS = {
    "quarters": (pd.Series(whole(3000) / 4), 0.25),
    "quarters of float32": (pd.Series(whole(3000) / 4, dtype="float32"), 0.25),
    "twentieths": (pd.Series(whole(3000) / 20), 0.05),
    "thirds": (pd.Series(whole(3000) / 3), 1 / 3),
    "sevenths of float32": (pd.Series(whole(300) / 7, dtype="float32"), 1 / 7),
    "fives": (pd.Series(whole(3000) * 5), 5),
    "thousands of Int64": (pd.Series(whole(3000) * 1000, dtype="Int64"), 1000),
    "dozens of int16": (pd.Series(whole(2000) * 12, dtype="int16"), 12),
}


@pytest.mark.parametrize("name", STEPS)
def test_numbers_keep_to_their_steps(name):
    real, step = STEPS[name]
    found = drawn(real)
    steps = found.astype(np.float64) / step
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert found.between(real.min(), real.max()).all()
    assert found.dtype == real.dtype
    loose = drawn(real, rounded=False).astype(np.float64) / step
    if real.dtype.kind == "f":
        assert (np.abs(loose - np.rint(loose)) > 1e-3).mean() > 0.3


def test_steps_begin_anywhere_and_are_exact_beyond_2_53():
    real = pd.Series(2**62 + 7 + 1000 * whole(2**40))
    found = drawn(real)
    assert ((found - 2**62 - 7) % 1000 == 0).all()
    assert found.between(real.min(), real.max()).all()
    grid = Grid(0, 16)
    values = np.array([7, 8, 9, 2**64 - 17, 2**64 - 16], dtype=np.uint64)
    assert grid.snap(values).tolist() == [0, 0, 16, 2**64 - 16, 2**64 - 16]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-(10**6), 10**6),
    st.sampled_from([2, 3, 5, 25, 60]),
    st.sampled_from([0, 1, 2, 5]),
)
def test_every_value_of_a_grid_is_its_own_neighbour(first, step, decimals):
    values = (first + step * np.unique(whole(2000))) / 10.0**decimals
    grid = Grid.of(values)
    assert grid is not None
    assert grid.snap(values).tolist() == values.tolist()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5) * 2.0,  # five values may be even by chance
        np.random.default_rng(0).normal(size=ROWS),
        np.random.default_rng(0).integers(0, 5000, ROWS),
        np.array([3.0]),
    ],
    ids=["few", "smooth", "whole", "one"],
)
def test_chance_makes_no_steps(values):
    assert Grid.of(np.unique(values)) is None


FREQUENCIES = ["ms", "s", "min", "15min", "h", "D", "W", "MS", "ME", "QS", "YS"]


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris", "+05:30"])
def test_dates_keep_to_their_steps(frequency, zone):
    real = pd.date_range("2001-01-01", periods=60, freq=frequency, tz=zone)
    grid = DateGrid.of(np.sort(real.asi8), real.dtype if zone else None)
    between = np.random.default_rng(0).integers(real[0].value, real[-1].value, 500)
    found = pd.DatetimeIndex(grid.snap(between).view("M8[ns]"), tz=zone and "UTC")
    assert set(found.tz_convert(zone) if zone else found) <= set(real)
    assert (grid.snap(real.asi8) == real.asi8).all()


def test_clocks_that_are_set_do_not_lose_days():
    days = pd.date_range("2015-01-01", "2024-12-31", freq="D", tz="Europe/Paris")
    grid = DateGrid.of(days.asi8, days.dtype)
    assert grid.steps.step == DAY
    moved = days.asi8 + np.random.default_rng(0).integers(-11 * HOUR, 11 * HOUR, len(days))
    assert (grid.snap(moved.clip(days[0].value, days[-1].value)) == days.asi8).all()


DATES = {
    "days": pd.Series(pd.Timestamp("2001-03-04") + pd.to_timedelta(whole(4000), "D")),
    "noons": pd.Series(pd.Timestamp("2001-03-04 12:30") + pd.to_timedelta(whole(4000), "D")),
    "unit s": pd.Series((whole(10**6) * 3600).astype("datetime64[s]")),
    "unit ms": pd.Series(whole(10**12).astype("datetime64[ms]")),
    "Paris": pd.Series(
        (pd.Timestamp("2001-03-04") + pd.to_timedelta(whole(4000), "D")).tz_localize(
            "Europe/Paris"
        )
    ),
}


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("name", DATES)
def test_columns_of_dates_keep_to_their_steps(name, rounded):
    real = DATES[name]
    found = drawn(real, rounded=rounded)
    clocks = [each.dt.tz_localize(None) for each in (real, found)]
    step = {"unit s": "h", "unit ms": "ms"}.get(name, "D")
    within = {(clock - clock.dt.floor(step)).iloc[0] for clock in clocks}
    assert len(within) == 1
    assert (clocks[1] - clocks[1].dt.floor(step) == within.pop()).all()
    assert found.dtype == real.dtype
    assert found.between(real.min(), real.max()).all()


def test_lengths_of_time_keep_to_their_steps():
    found = drawn(pd.Series(pd.to_timedelta(whole(4000) * 15, "min")))
    assert (found.dt.total_seconds() % 900 == 0).all()


def test_the_ends_of_nanoseconds_have_months_beside_them():
    real = pd.to_datetime(["1677-09-22", "1999-05-01", "2262-04-10"]).asi8
    grid = DateGrid.of(real)
    assert grid.snap(real).tolist() == real.tolist()


def test_atoms_beside_a_grid_stay():
    numbers = np.where(np.random.default_rng(1).random(5000) < 0.2, -1.1, whole(3000, 5000) / 4)
    real = pd.Series(numbers)
    column = NumericColumn(real)
    assert column.atoms.tolist() == [-1.1]
    assert column.grid.step == 25
    codes, positions = column.encode(real, np.random.default_rng(0))
    assert set(column.decode(codes, positions)) <= {-1.1, *(np.arange(3000) / 4)}
