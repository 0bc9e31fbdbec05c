"""What comes back from a fitted table keeps to the decimals, steps and ranges of its columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from shared_tables import describe, quick_fit, rows_of

from sdv_wgangp.synthesizers import sdv_versions

ROWS = 600
RANDOM = np.random.default_rng(0)
START = pd.Timestamp("2001-03-04")


def dates(unit: str, most: int) -> pd.Series:
    return pd.Series(START + pd.to_timedelta(RANDOM.integers(0, most, ROWS), unit))


def is_whole(numbers: pd.Series) -> bool:
    numbers = numbers.dropna().astype(np.float64)
    return bool((np.abs(numbers - np.rint(numbers)) < 1e-9).all())


def ends_of(unit: str):
    return lambda column: (column.dropna() == column.dropna().dt.floor(unit)).all()


# Columns, and what holds for their values.
COLUMNS = {
    "float32": (
        pd.Series(RANDOM.gamma(2, 50, ROWS).round(2), dtype="float32"),
        lambda x: (np.round(x.astype(float), 2).astype("float32") == x).all(),
    ),
    "float16": (
        pd.Series(RANDOM.gamma(2, 5, ROWS).round(1), dtype="float16"),
        lambda x: (np.round(x.astype(float), 1).astype("float16") == x).all(),
    ),
    "quarters": (pd.Series(RANDOM.integers(0, 3000, ROWS) / 4), lambda x: is_whole(x * 4)),
    "fives": (
        pd.Series(3 + 5 * RANDOM.integers(0, 3000, ROWS), dtype="Int64").mask(
            RANDOM.random(ROWS) < 0.1
        ),
        lambda x: is_whole((x - 3) / 5),
    ),
    "huge": (
        pd.Series(2**62 + 1000 * RANDOM.integers(0, 2**40, ROWS), dtype="Int64").mask(
            RANDOM.random(ROWS) < 0.1
        ),
        lambda x: ((x.dropna() - 2**62) % 1000 == 0).all(),
    ),
    "thirds": (pd.Series(RANDOM.integers(0, 3000, ROWS) / 3), lambda x: is_whole(x * 3)),
    "last place": (
        pd.Series(np.append(4.6773354324000005, RANDOM.uniform(5, 90, ROWS - 1))),
        lambda x: not is_whole(x * 1e12),
    ),
    "sixteen digits": (
        pd.Series(np.resize([0.009999999776482582, 1.5239999294281006], ROWS)),
        lambda x: x.isin([0.009999999776482582, 1.5239999294281006]).all(),
    ),
    "hours": (dates("h", 40_000), ends_of("h")),
    "milliseconds": (dates("ms", 10**10).astype("datetime64[ms]"), ends_of("ms")),
    "microseconds": (dates("us", 10**14).astype("datetime64[us]"), ends_of("us")),
    "days in Paris": (
        dates("D", 4000).dt.tz_localize("Europe/Paris"),
        lambda x: (x == x.dt.normalize()).all(),
    ),
    "hours with an offset": (dates("h", 40_000).dt.tz_localize("+05:30"), ends_of("h")),
    "months": (
        dates("D", 40_000).dt.to_period("M").dt.to_timestamp(),
        lambda x: (x.dt.day == 1).all() and ends_of("D")(x),
    ),
    "written": (
        dates("h", 40_000).dt.strftime("%Y-%m-%d %H:%M:%S"),
        lambda x: x.str.endswith(":00:00").all(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("detected", [False, True])
def test_samples_keep_to_the_grid_and_range_and_sdv_accepts_them(detected, tmp_path):
    frame = pd.DataFrame({name: column for name, (column, _) in COLUMNS.items()})
    if detected and sdv_versions.takes_dictionaries():
        metadata = sdv_versions.detect_metadata(frame, name="people", infer_keys=None)
    else:
        is_number = {name: pd.api.types.is_numeric_dtype(frame[name]) for name in frame}
        form = {"written": {"datetime_format": "%Y-%m-%d %H:%M:%S"}}
        metadata = describe(
            {
                name: {"sdtype": "numerical" if is_number[name] else "datetime"}
                | form.get(name, {})
                for name in frame
            }
        )
    synthesizer = quick_fit(metadata, frame)
    synthesizer.save_model(tmp_path / "model.safetensors")
    loaded = type(synthesizer).load_model(tmp_path / "model.safetensors")
    for each in (synthesizer, loaded):
        drawn = rows_of(each.sample(1000))
        metadata.validate_data({"people": drawn.head(150)})  # SDV parses every date by itself
        pd.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
        for name, (real, holds) in COLUMNS.items():
            assert holds(real), name
            assert holds(drawn[name]), name
            assert drawn[name].dropna().between(real.min(), real.max()).all(), name


def test_numbers_come_back_off_the_grid_where_rounding_is_not_enforced():
    frame = pd.DataFrame({"quarters": COLUMNS["quarters"][0], "hours": COLUMNS["hours"][0]})
    metadata = describe({"quarters": "numerical", "hours": "datetime"})
    drawn = rows_of(quick_fit(metadata, frame, enforce_rounding=False).sample(300))
    assert not is_whole(drawn["quarters"] * 4)
    assert ends_of("h")(drawn["hours"])
    assert drawn["quarters"].between(frame["quarters"].min(), frame["quarters"].max()).all()


def test_dates_are_cut_as_the_format_of_the_metadata_says():
    frame = pd.DataFrame({"day": dates("h", 40_000), "other": np.resize(["p", "q"], ROWS)})
    metadata = describe(
        {"day": {"sdtype": "datetime", "datetime_format": "%Y-%m-%d"}, "other": "categorical"}
    )
    assert ends_of("D")(rows_of(quick_fit(metadata, frame).sample(100))["day"])
