"""Conditions on missing values, on values that never were, and on columns of constraints."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sdv.cag import FixedCombinations, FixedIncrements, Inequality, Range
from sdv.sampling import Condition
from shared_tables import FAST, PEOPLE, as_input, describe, fit, people, rows_of

from sdv_wgangp.single_table import WGANGPMFSSynthesizer

UNABLE = "Unable to sample any rows for the given conditions"


def conditioned(synthesizer, values: dict, rows: int = 5, **options) -> pd.DataFrame:
    return rows_of(synthesizer.sample_from_conditions([Condition(values, rows)], **options))


def constrained(frame, metadata, constraint):
    synthesizer = WGANGPMFSSynthesizer(metadata, **FAST)
    synthesizer.add_constraints([constraint])
    synthesizer.fit(as_input(frame))
    return synthesizer


@pytest.fixture(scope="module")
def ordered():
    """Three numbers in order, of which the middle one is missing now and then."""
    random = np.random.default_rng(0)
    low = random.integers(0, 20, 300).astype(float)
    middle = low + random.integers(1, 9, 300)
    middle[random.random(300) < 0.05] = np.nan
    high = np.where(np.isnan(middle), low + 9.5, middle + 1.5)
    frame = pd.DataFrame({"a": low, "b": middle, "c": high, "g": ["x", "y", "z"] * 100})
    return frame, describe(dict.fromkeys("abc", "numerical") | {"g": "categorical"})


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        (Inequality("a", "b"), {"a": 10.0, "b": 13.0}),
        (Inequality("a", "b"), {"a": 10.0}),
        (Inequality("a", "b"), {"a": 10.0, "b": None}),
        (Inequality("a", "b"), {"b": None}),
        (Range("a", "b", "c"), {"a": 10.0, "b": 13.0, "c": 14.5}),
        (Range("a", "b", "c"), {"a": 10.0, "b": 13.0}),
    ],
    ids=str,
)
def test_conditions_on_columns_of_a_constraint_that_may_be_missing(ordered, constraint, values):
    sample = conditioned(constrained(*ordered, constraint), values)
    assert len(sample) == 5
    for name, value in values.items():
        assert sample[name].isna().all() if value is None else sample[name].eq(value).all()


def test_increments_that_may_be_missing():
    values = np.where(np.arange(300) % 20 == 0, np.nan, np.arange(300) % 40 * 5.0)
    frame = pd.DataFrame({"a": values, "g": ["x", "y", "z"] * 100})
    metadata = describe({"a": "numerical", "g": "categorical"})
    synthesizer = constrained(frame, metadata, FixedIncrements("a", 5))
    assert conditioned(synthesizer, {"a": 10.0})["a"].eq(10).all()
    assert conditioned(synthesizer, {"a": None, "g": "x"})["a"].isna().all()


@pytest.mark.parametrize("kind", ["string", "Int64", "boolean", "object"])
def test_combinations_with_missing_values(kind):
    values = {"Int64": [1, 2, pd.NA], "boolean": [True, False, pd.NA]}.get(kind, ["u", "v", pd.NA])
    column = pd.Series(values * 100, dtype=kind)
    frame = pd.DataFrame({"q": column, "r": ["k", "l", "l"] * 100, "g": ["x", "y"] * 150})
    sdtype = "boolean" if kind == "boolean" else "categorical"
    metadata = describe({"q": sdtype, "r": "categorical", "g": "categorical"})
    synthesizer = constrained(frame, metadata, FixedCombinations(["q", "r"]))
    found = conditioned(synthesizer, {"q": values[0]})
    assert found["q"].eq(values[0]).all()
    assert found["r"].eq("k").all()
    assert conditioned(synthesizer, {"r": "l", "g": "x"})["r"].eq("l").all()
    assert conditioned(synthesizer, {"q": None})["q"].isna().all()


@pytest.fixture(scope="module")
def rarely_missing():
    """Numbers and dates of which one in three hundred is missing, and columns without any."""
    random = np.random.default_rng(0)
    frame = people(600)
    frame["income"] = random.normal(50, 9, 600).round(2)
    frame["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(600), "D")
    frame.loc[[7, 400], ["income", "since"]] = None
    frame["score"] = random.normal(0, 1, 600)
    frame["cars"] = random.integers(0, 3, 600).astype(float)
    columns = PEOPLE.to_dict()["tables"]["people"]["columns"]
    columns |= {"since": "datetime", "score": "numerical", "cars": "numerical"}
    return fit(describe(columns, primary_key="id"), frame)


@pytest.mark.parametrize("name", ["income", "since"])
@pytest.mark.parametrize("others", [{}, {"group": "a"}])
@pytest.mark.parametrize("batch", [None, 2])
def test_a_rare_missing_value_is_found_or_made(rarely_missing, name, others, batch):
    for rows in (1, 4):
        sample = conditioned(rarely_missing, {name: None, **others}, rows, batch_size=batch)
        assert len(sample) == rows
        assert sample[name].isna().all()
        for column, value in others.items():
            assert sample[column].eq(value).all()


NEVER = ["group", "member", "age", "score", "cars"]


@pytest.mark.parametrize("batch", [None, 2])
def test_a_column_that_had_no_missing_values_is_emptied(rarely_missing, batch):
    for name in NEVER:
        with pytest.warns(UserWarning, match=f"column '{name}' had no missing values when it was"):
            sample = conditioned(rarely_missing, {name: None}, 4, batch_size=batch)
        assert len(sample) == 4
        assert sample[name].isna().all()
        assert sample["id"].notna().all()


def test_known_columns_with_missing_values_keep_their_rows(rarely_missing):
    known = pd.DataFrame(
        {"income": [None, 50.0, None, 55.0], "cars": [1.0, None, 2.0, 0.0], "group": list("abca")}
    )
    with pytest.warns(UserWarning, match="'cars' had no missing values"):
        sample = rows_of(rarely_missing.sample_remaining_columns(known, max_tries_per_batch=500))
    pd.testing.assert_frame_equal(
        sample[["income", "cars", "group"]].reset_index(drop=True), known, check_dtype=False
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"group": "zz"}, "column 'group' holds 'zz', which was not in the data"),
        ({"cars": 7.0}, "column 'cars' had no value 7.0 when it was fitted: use one of 0.0, 1.0"),
        ({"cars": "two"}, "column 'cars' is numeric, not 'two'"),
        ({"score": 1e6}, "column 'score' lay between .* which 1000000.0 does not"),
        ({"age": 500}, "column 'age' lay between|column 'age' had no value 500"),
        ({"since": "1999-05-05"}, "column 'since' lay between 2020-01-01 .* 1999-05-05"),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [None, 2])
def test_a_value_that_never_was_is_named(rarely_missing, values, message, batch):
    if "since" in values:
        values = {"since": pd.Timestamp(values["since"])}
    with pytest.raises(ValueError, match=f"{UNABLE}: {message}"):
        conditioned(rarely_missing, values, batch_size=batch)


def test_known_rows_that_cannot_be_met_are_named(rarely_missing):
    known = pd.DataFrame({"group": ["a", "zz", "b", "zz"], "cars": [0.0, 1.0, 9.0, 2.0]})
    with pytest.warns(UserWarning, match="known_columns") as told:
        sample = rows_of(rarely_missing.sample_remaining_columns(known))
    text = " ".join(str(each.message) for each in told)
    assert (
        "'zz', which was not in the data it was fitted on: use one of the levels seen there"
        in text
    )
    assert "(rows 1, 3 of known_columns)" in text
    assert "column 'cars' had no value 9.0" in text
    assert "(row 2 of known_columns)" in text
    assert len(sample) == 1


def test_a_number_of_few_values_is_met_within_the_tolerance_of_sdv(rarely_missing):
    sample = conditioned(rarely_missing, {"cars": 2.01})
    assert sample["cars"].eq(2.01).all()


def test_decimals_are_numbers(rarely_missing):
    assert conditioned(rarely_missing, {"cars": Decimal("2")})["cars"].eq(2).all()
    typical = Decimal("50")
    found = conditioned(rarely_missing, {"income": typical}, max_tries_per_batch=500)
    assert found["income"].eq(50).all()


def test_the_first_conditions_say_what_they_take_their_time_for(capsys):
    synthesizer = fit(PEOPLE, people())
    for expected in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            conditioned(synthesizer, {"group": "a"})
        assert ("Preparing for conditions, once" in capsys.readouterr().err) == expected
