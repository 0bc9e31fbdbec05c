"""Tables that break synthesizers: each is fitted and sampled, or refused by name.

What is checked of every sample is what SDV promises: its columns in order, their dtypes, missing
values only where the table has some, categories that exist, numbers and dates in their range.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sdv.errors import InvalidDataError
from sdv.metadata.errors import InvalidMetadataError
from shared_tables import describe, quick_fit, rows_of

from sdv_wgangp.synthesizers import sdv_versions

ROWS = 120
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=ROWS)
WORDS = RANDOM.choice(["a", "b", "c"], ROWS)
DIGITS = RANDOM.integers(0, 5, ROWS)
COUNTS = RANDOM.integers(0, 100, ROWS)
DAYS = pd.Series(pd.Timestamp("2001-03-04") + pd.to_timedelta(RANDOM.integers(0, 4000, ROWS), "D"))
GERMAN = {"sdtype": "datetime", "datetime_format": "%d.%m.%Y"}
ZONED = {"sdtype": "datetime", "datetime_format": "%Y-%m-%d %H:%M:%S%z"}

PERIODS = pd.Series(pd.period_range("2001", periods=3, freq="M").repeat(ROWS // 3))
INTERVALS = pd.Series(pd.arrays.IntervalArray.from_breaks(np.arange(ROWS + 1.0)))


def holes(values, dtype=None) -> pd.Series:
    """The values with a fifth of them missing."""
    series = pd.Series(values, dtype=dtype)
    return series.mask(np.random.default_rng(1).random(len(series)) < 0.2)


def every(*values) -> pd.Series:
    """A column of objects that has the values in turn."""
    column = pd.Series(index=range(ROWS), dtype=object)
    for row in range(ROWS):
        column.iloc[row] = values[row % len(values)]
    return column


NUMBERS = {
    "int8": pd.Series(COUNTS, dtype="int8"),
    "uint64": pd.Series(COUNTS, dtype="uint64") + np.uint64(2**63),
    "int64 at both ends": pd.Series([-(2**63), 2**63 - 1, 0, 5] * (ROWS // 4)),
    "huge integers": pd.Series(2**62 + RANDOM.integers(0, 2**61, ROWS)),
    "float16": pd.Series(NORMAL, dtype="float16"),
    "float32 with nulls": holes(NORMAL, "float32"),
    "Int64 with nulls": holes(COUNTS, "Int64"),
    "huge Int64 with nulls": holes(2**62 + np.arange(ROWS), "Int64"),
    "UInt16": pd.Series(COUNTS, dtype="UInt16"),
    "Float64 with nulls": holes(NORMAL, "Float64"),
    "Arrow integers with nulls": holes(COUNTS, "Int64").astype("int64[pyarrow]"),
    "Arrow floats": pd.Series(NORMAL, dtype="double[pyarrow]"),
    "tiny": pd.Series(NORMAL * 1e-300),
    "enormous": pd.Series(NORMAL * 1e307),
    "negative zero": pd.Series(np.where(COUNTS < 50, -0.0, NORMAL)),
    "constant": pd.Series(np.full(ROWS, 3.5)),
    "one number and nulls": holes(np.full(ROWS, 3)),
    "a single number, else nulls": pd.Series([2.5, *[None] * (ROWS - 1)], dtype=float),
    "a single null": pd.Series([None, *NORMAL[1:]], dtype=float),
    "no numbers": pd.Series(np.full(ROWS, np.nan)),
    "no Int64": pd.Series([pd.NA] * ROWS, dtype="Int64"),
    "no objects": every(None),
}
DATES = {
    "days": DAYS,
    "days with nulls": holes(DAYS),
    "a zone": DAYS.dt.tz_localize("Europe/Paris"),
    "UTC with nulls": holes(DAYS.dt.tz_localize("UTC")),
    "unit s": DAYS.astype("datetime64[s]"),
    "unit ms with nulls": holes(DAYS.astype("datetime64[ms]")),
    "unit s with a zone": DAYS.dt.tz_localize("Europe/Paris").dt.as_unit("s"),
    "Arrow, unit us": DAYS.astype("timestamp[us][pyarrow]"),
    "Arrow days": DAYS.dt.date.astype("date32[pyarrow]"),
    "both ends of nanoseconds": pd.Series(
        pd.to_datetime(["1677-09-22", "2262-04-10"] * (ROWS // 2))
    ),
    "unit ms": pd.Series(RANDOM.integers(0, 10**12, ROWS).astype("datetime64[ms]")),
    "unit us with a zone": pd.Series(
        pd.DatetimeIndex(
            RANDOM.integers(0, 10**15, ROWS).astype("datetime64[us]"), tz="Asia/Tokyo"
        )
    ),
    "an offset": DAYS.dt.tz_localize("+05:30"),
    "Arrow, unit ms": DAYS.astype("timestamp[ms][pyarrow]"),
    "Python's dates": DAYS.dt.date,
    "Python's dates with nulls": holes(DAYS.dt.date),
    "Python's datetimes": pd.Series(list(DAYS.dt.to_pydatetime()), dtype=object),
    "one day": pd.Series([DAYS[0]] * ROWS),
    "one day and nulls": holes([DAYS[0]] * ROWS),
    "no days": pd.Series([pd.NaT] * ROWS),
}
WRITTEN_DATES = {
    "a format": (DAYS.dt.strftime("%d.%m.%Y"), GERMAN),
    "a format with nulls": (holes(DAYS.dt.strftime("%d.%m.%Y")), GERMAN),
    "a format with a zone": (
        DAYS.dt.tz_localize("UTC").dt.strftime(ZONED["datetime_format"]),
        ZONED,
    ),
    "no format": (DAYS.dt.strftime("%Y-%m-%d"), {"sdtype": "datetime"}),
    "numbers with a format": (
        DAYS.dt.strftime("%Y%m%d").astype(int),
        {"sdtype": "datetime", "datetime_format": "%Y%m%d"},
    ),
}
CATEGORIES = {
    "None": every("a", None, "b"),
    "None and NaN": every("a", None, np.nan, "b"),
    "string": holes(WORDS, "string"),
    "Arrow strings": holes(WORDS, "string[pyarrow]").astype(pd.ArrowDtype(pa.string())),
    "category with unused levels": pd.Series(pd.Categorical(WORDS, categories=list("abcdef"))),
    "ordered category with nulls": holes(
        pd.Series(pd.Categorical(WORDS, categories=list("cab"), ordered=True))
    ),
    "category of numbers": pd.Series(DIGITS).astype("category"),
    "Int64 as categories": holes(DIGITS, "Int64"),
    "floats as categories": holes(DIGITS.astype(float)),
    "infinite category": pd.Series(np.where(DIGITS == 0, np.inf, 1.0)),
    "numbers beside text": every(1, "a", 2.5, "b"),
    "booleans beside text and nulls": every(True, "a", None),
    "tuples": every((1, 2), (3, 4)),
    "bytes": every(b"ab", b"", b"c"),
    "decimals": every(decimal.Decimal("0.1"), decimal.Decimal("0.2")),
    "dates as categories": every(datetime.date(2001, 1, 1), datetime.date(1, 1, 1)),
    "timedeltas": pd.Series(pd.to_timedelta(DIGITS, "s")),
    "periods": PERIODS,
    "times": every(datetime.time(9), datetime.time(10, 30)),
    "intervals": pd.cut(pd.Series(NORMAL), 3),
    "integers of 70 bits": every(2**70, 2**70 + 1, -1),
    "very long text": pd.Series(["x" * 100_000 + word for word in WORDS]),
    "odd text": every("", " ", "\n", 'a,"b"', "日本", "nan", "None"),
    "all different": pd.Series([f"user {i}" for i in range(ROWS)]),
    "one text": every("x"),
    "one text and nulls": every("x", None),
    "nothing": every(None),
    "nothing of category": pd.Series(pd.Categorical([None] * ROWS)),
}
BOOLEANS = {
    "bool": pd.Series(NORMAL > 0),
    "boolean with nulls": holes(NORMAL > 0, "boolean"),
    "objects with nulls": every(True, None, False),
    "Arrow with nulls": holes(NORMAL > 0, "boolean").astype("bool[pyarrow]"),
    "no booleans": pd.Series([pd.NA] * ROWS, dtype="boolean"),
}


def sampled(column: pd.Series, described: dict | str, rows: int = 2_000) -> pd.Series:
    """The column of a sample; whatever holds for all kinds of columns is checked.

    So many rows have what one of the training rows has, but for one sample in many thousands.
    """
    frame = pd.DataFrame({"x": column, "other": np.resize(["p", "q"], len(column))})
    kept = frame.copy(deep=True)
    synthesizer = quick_fit(describe({"x": described, "other": "categorical"}), frame)
    pd.testing.assert_frame_equal(frame, kept)  # the frame of the caller is not changed
    drawn = rows_of(synthesizer.sample(rows))
    assert list(drawn) == ["x", "other"]
    assert len(drawn) == rows
    assert drawn["x"].isna().any() == column.isna().any()
    assert drawn["x"].dtype == column.dtype
    return drawn["x"]


def in_range(drawn: pd.Series, real: pd.Series) -> bool:
    drawn, real = drawn.dropna(), real.dropna()
    return drawn.empty == real.empty and drawn.between(real.min(), real.max()).all()


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    assert in_range(sampled(NUMBERS[name], "numerical"), NUMBERS[name])


@pytest.mark.parametrize("name", DATES)
def test_dates(name):
    assert in_range(sampled(DATES[name], "datetime"), DATES[name])


@pytest.mark.parametrize("name", WRITTEN_DATES)
def test_dates_that_are_written(name):
    real, described = WRITTEN_DATES[name]
    drawn = sampled(real, described)
    form = described.get("datetime_format", "%Y-%m-%d")
    assert in_range(pd.to_datetime(drawn, format=form), pd.to_datetime(real, format=form))


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories(name):
    real = CATEGORIES[name]
    drawn = sampled(real, "categorical")
    known = {(type(value), value) for value in real.dropna()}
    assert {(type(value), value) for value in drawn.dropna()} <= known
    if isinstance(real.dtype, pd.CategoricalDtype):
        assert list(drawn.cat.categories) == list(real.cat.categories)


@pytest.mark.parametrize("name", BOOLEANS)
def test_booleans(name):
    assert set(sampled(BOOLEANS[name], "boolean").dropna()) <= {True, False}


@pytest.mark.skipif(not sdv_versions.takes_dictionaries(), reason="ordinal is new in SDV 2.0")
@pytest.mark.parametrize(
    "real",
    [pd.Series(DIGITS), holes(DIGITS, "Int64"), pd.Series(WORDS)],
    ids=["integers", "Int64 with nulls", "text"],
)
def test_ordinals(real):
    assert set(sampled(real, "ordinal").dropna()) <= set(real.dropna())


STORED = {
    "integers as objects": (every(1, 2, 30), "numerical", "int64"),
    "integers and None as objects": (every(1, None, 30), "numerical", "Int64"),
    "floats and None as objects": (every(1.5, None, 3), "numerical", "float64"),
    "NumPy scalars as objects": (every(np.float32(1.5), np.int8(2)), "numerical", "float64"),
    "Arrow, unit ns": (DAYS.astype("timestamp[ns][pyarrow]"), "datetime", "datetime64[ns]"),
    "decimals": (every(*map(decimal.Decimal, ("0.10", "7.25"))), "numerical", "float64"),
    "decimals and None": (every(decimal.Decimal("0.1"), None), "numerical", "float64"),
    "whole decimals": (every(decimal.Decimal(2**60 + 1), None), "numerical", "Int64"),
    "Arrow decimals": (
        every(decimal.Decimal("0.1")).astype(pd.ArrowDtype(pa.decimal128(10, 2))),
        "numerical",
        "float64",
    ),
}


@pytest.mark.parametrize("name", STORED)
def test_dtypes_that_sdv_cannot_give_back_become_the_nearest(name):
    real, sdtype, dtype = STORED[name]
    frame = pd.DataFrame({"x": real, "other": np.resize(["p", "q"], ROWS)})
    synthesizer = quick_fit(describe({"x": sdtype, "other": "categorical"}), frame)
    drawn = rows_of(synthesizer.sample(100))["x"]
    assert drawn.dtype == dtype
    assert in_range(drawn, real.dropna().astype(dtype.lower()))
    assert drawn.isna().any() == real.isna().any()


@dataclass
class Refused:
    """A column that cannot be learned, and the error that says so."""

    column: pd.Series
    sdtype: str
    message: str
    error: type[Exception] = InvalidDataError
    fields: dict = field(default_factory=dict)


REFUSED = {
    "infinite": Refused(
        pd.Series(np.where(DIGITS == 0, np.inf, NORMAL)),
        "numerical",
        "column 'x' holds infinite values: replace them by missing values",
        ValueError,
    ),
    "minus infinity of Float64": Refused(
        pd.Series(np.where(DIGITS == 0, -np.inf, NORMAL), dtype="Float64"),
        "numerical",
        "column 'x' holds infinite values",
        ValueError,
    ),
    **{
        f"{type(value).__name__}s": Refused(
            every(value),
            "categorical",
            "column 'x' cannot be encoded .*unhashable.* turn its values into strings",
            ValueError,
        )
        for value in ([1, 2], {"a": 1}, {1}, np.arange(2))
    },
    "numbers of 70 bits": Refused(
        every(2**70, 5), "numerical", "Column 'x' holds integers of more than 64 bits"
    ),
    "numbers as category": Refused(
        pd.Series(DIGITS).astype("category"), "numerical", "Column 'x' is numerical .* 'category'"
    ),
    "dates as category": Refused(
        DAYS.astype("category"), "datetime", "Column 'x' is datetime .* 'category'"
    ),
    "unknown numbers with nulls": Refused(
        holes(COUNTS, "Int64"), "unknown", "Column 'x' has no known sdtype and missing numbers"
    ),
    "infinite decimals": Refused(
        every(decimal.Decimal("Infinity"), decimal.Decimal("0.1")),
        "numerical",
        "column 'x' holds infinite values",
        ValueError,
    ),
    "infinite objects": Refused(
        every(1.5, float("inf")), "numerical", "column 'x' holds infinite values", ValueError
    ),
    "infinite float32": Refused(
        pd.Series(np.where(DIGITS == 0, np.inf, NORMAL), dtype="float32"),
        "numerical",
        "column 'x' holds infinite values",
        ValueError,
    ),
    **{
        f"{name} as {sdtype}": Refused(column, sdtype, message)
        for name, column, sdtype, message in (
            ("periods", PERIODS, "datetime", r"Column 'x' holds periods: .*to_timestamp\(\)"),
            ("objects of periods", PERIODS.astype(object), "datetime", "'x' holds periods"),
            ("periods", PERIODS, "numerical", "Invalid values found for numerical column 'x'"),
            ("intervals", INTERVALS, "numerical", "numerical column 'x'"),
            ("times", every(datetime.time(9)), "datetime", "datetime column 'x'"),
            ("bytes", every(b"ab"), "numerical", "numerical column 'x'"),
        )
    },
    "complex numbers": Refused(
        pd.Series(NORMAL + 1j), "numerical", "Invalid values found for numerical column 'x'"
    ),
    "numbers as text": Refused(
        every("1.5", "2"), "numerical", "Invalid values found for numerical column 'x'"
    ),
    "timedeltas as numbers": Refused(
        pd.Series(pd.to_timedelta(COUNTS, "s")),
        "numerical",
        "Invalid values found for numerical column 'x'",
    ),
    "the end of time": Refused(
        every("2001-01-01", "9999-12-31"),
        "datetime",
        "Column 'x' holds dates that nanoseconds do not reach, like '9999-12-31'",
        fields={"datetime_format": "%Y-%m-%d"},
    ),
    "dates before nanoseconds": Refused(
        pd.Series(np.array(["0900-01-01", "2001-01-01"] * (ROWS // 2), dtype="datetime64[s]")),
        "datetime",
        # In SDV 1 the transformer finds it.
        "olumn 'x' holds dates that nanoseconds .* 1678 to 2261",
        (InvalidDataError, ValueError),
    ),
    "the last of Python's dates": Refused(
        every(datetime.date(2001, 1, 1), datetime.date.max),
        "datetime",
        "Column 'x' holds dates that nanoseconds do not reach, like '9999-12-31'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_is_refused_by_name(name):
    case = REFUSED[name]
    frame = pd.DataFrame({"x": case.column, "other": np.resize(["p", "q"], ROWS)})
    metadata = describe({"x": {"sdtype": case.sdtype, **case.fields}, "other": "categorical"})
    with pytest.raises(case.error, match=case.message):
        quick_fit(metadata, frame)


KEYS = {
    "integer": (np.arange(ROWS), "id"),
    "text": ([f"k{i}" for i in range(ROWS)], "id"),
    "regex": (
        [f"ID_{i:03d}" for i in range(ROWS)],
        {"sdtype": "id", "regex_format": "ID_[0-9]{3}"},
    ),
    "Int64": (pd.Series(np.arange(ROWS), dtype="Int64"), "id"),
    "email": ([f"u{i}@b.org" for i in range(ROWS)], {"sdtype": "email", "pii": True}),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("role", ["primary_key", "alternate_keys"])
def test_keys(name, role):
    values, described = KEYS[name]
    frame = pd.DataFrame({"key": values, "x": NORMAL})
    key = {"primary_key": "key"} if role == "primary_key" else {"alternate_keys": ["key"]}
    drawn = rows_of(
        quick_fit(describe({"key": described, "x": "numerical"}, **key), frame).sample(300)
    )
    assert drawn["key"].is_unique
    assert drawn["key"].notna().all()
    assert drawn["key"].dtype == frame["key"].dtype
    assert len(drawn) == 300
    if name == "regex":
        assert drawn["key"].str.fullmatch("ID_[0-9]{3}").all()


def test_several_keys_references_and_personal_data():
    columns = {
        "key": "id",
        "second": {"sdtype": "id", "regex_format": "[A-Z]{4}"},
        "third": "id",
        "parent": "id",
        "name": {"sdtype": "name", "pii": True},
        "city": {"sdtype": "city", "pii": False},
        "note": "unknown",
        "x": "numerical",
    }
    frame = pd.DataFrame(
        {
            "key": np.arange(ROWS),
            "second": [f"AB{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(ROWS)],
            "third": 1000 + np.arange(ROWS),
            "parent": holes(DIGITS, "Int64"),
            "name": every("Ann", None),
            "city": every("Paris", "Rome"),
            "note": WORDS,
            "x": NORMAL,
        }
    )
    metadata = describe(columns, primary_key="key", alternate_keys=["second", "third"])
    drawn = rows_of(quick_fit(metadata, frame, locales=["de_DE"]).sample(200))
    assert list(drawn) == list(frame)
    assert all(drawn[key].is_unique for key in ("key", "second", "third"))
    assert set(drawn["parent"].dropna()) <= set(frame["parent"].dropna())
    assert set(drawn["city"]) <= {"Paris", "Rome"}
    assert drawn["name"].nunique() > 80
    assert not set(drawn["note"]) & set(WORDS)


@pytest.mark.parametrize(
    "columns",
    [
        {"key": "id"},
        {"key": "id", "email": {"sdtype": "email", "pii": True}},
        {"key": {"sdtype": "id", "regex_format": "k[0-9]{4}"}, "note": "unknown"},
    ],
    ids=lambda columns: "+".join(columns),
)
def test_tables_with_nothing_to_learn(columns):
    frame = pd.DataFrame(
        {
            "key": [f"k{i:04d}" for i in range(ROWS)],
            "email": every("a@b.org"),
            "note": WORDS,
        }
    )[list(columns)]
    synthesizer = quick_fit(describe(columns, primary_key="key"), frame)
    assert rows_of(synthesizer.sample(12)).shape == (12, len(columns))
    assert synthesizer.get_loss_values().empty


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_a_few_rows(rows):
    frame = pd.DataFrame({"x": NORMAL[:rows], "word": WORDS[:rows], "day": DAYS[:rows]})
    metadata = describe({"x": "numerical", "word": "categorical", "day": "datetime"})
    drawn = rows_of(quick_fit(metadata, frame).sample(50))
    assert drawn["x"].between(frame["x"].min(), frame["x"].max()).all()
    assert set(drawn["word"]) <= set(frame["word"])
    assert drawn.dtypes.equals(frame.dtypes)


def test_columns_of_one_name_are_refused():
    frame = pd.DataFrame(np.column_stack([NORMAL, NORMAL]), columns=["x", "x"])
    with pytest.raises(InvalidDataError, match="Column 'x' is there more than once: rename one"):
        quick_fit(describe({"x": "numerical"}), frame)
    with pytest.raises(InvalidMetadataError, match="Column 'x' is there more than once"):
        sdv_versions.detect_metadata(frame)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (PERIODS, "periods"),
        (PERIODS.astype(object), "periods"),
        (INTERVALS, "intervals"),
        (pd.cut(pd.Series(NORMAL), 3), "intervals"),
        (pd.Series(pd.to_timedelta(DIGITS, "s")), "lengths of time"),
        (pd.Series(NORMAL + 1j), "complex numbers"),
        (every(datetime.time(9), None), "times of day"),
        (every(datetime.time(9)).astype(pd.ArrowDtype(pa.time64("us"))), "times of day"),
        (every(b"a"), "bytes"),
        (every(b"a").astype(pd.ArrowDtype(pa.binary())), "bytes"),
        (every(datetime.date(2001, 1, 1), datetime.date.max), "dates that nanoseconds do not"),
    ],
)
def test_what_sdv_cannot_detect_is_named(column, what):
    with pytest.raises(InvalidMetadataError, match=f"Column 'x' holds {what}.* categorical"):
        sdv_versions.detect_metadata(pd.DataFrame({"x": column}))


def test_an_empty_table_is_refused():
    frame = pd.DataFrame({"x": pd.Series(dtype=float), "word": pd.Series(dtype=object)})
    with pytest.raises(ValueError, match="The fit dataframe is empty"):
        quick_fit(describe({"x": "numerical", "word": "categorical"}), frame)


def test_any_index_and_repeated_rows():
    frame = pd.DataFrame({"x": NORMAL, "word": WORDS}, index=np.zeros(ROWS, dtype=int))
    metadata = describe({"x": "numerical", "word": "categorical"})
    drawn = rows_of(quick_fit(metadata, frame).sample(30))
    assert drawn.index.tolist() == list(range(30))
    same = pd.concat([frame.head(1)] * ROWS)
    drawn = rows_of(quick_fit(metadata, same).sample(30))
    assert len(drawn.drop_duplicates()) == 1


def test_columns_that_are_the_same():
    frame = pd.DataFrame({"a": NORMAL, "b": NORMAL, "c": WORDS, "d": WORDS})
    sdtypes = dict(zip("abcd", ["numerical"] * 2 + ["categorical"] * 2, strict=True))
    drawn = rows_of(quick_fit(describe(sdtypes), frame).sample(100))
    assert drawn["c"].tolist() == drawn["d"].tolist()
    assert drawn["a"].between(NORMAL.min(), NORMAL.max()).all()


def test_names_that_are_no_strings():
    frame = pd.DataFrame({0: NORMAL, 1: WORDS, 2: every(True, None)})
    metadata = describe({"0": "numerical", "1": "categorical", "2": "categorical"})
    drawn = rows_of(quick_fit(metadata, frame).sample(20))
    assert drawn.columns.tolist() == [0, 1, 2]
    assert frame.columns.tolist() == [0, 1, 2]
    assert set(drawn[1]) <= set(WORDS)


@pytest.mark.parametrize(
    "names", [["a b", "ä/ö", ""], ["x.y", "x#y", "x"], ["class", "self", "0"]]
)
def test_odd_names(names):
    frame = pd.DataFrame(dict(zip(names, [NORMAL, WORDS, DAYS], strict=True)))
    sdtypes = dict(zip(names, ["numerical", "categorical", "datetime"], strict=True))
    drawn = rows_of(quick_fit(describe(sdtypes), frame).sample(20))
    assert list(drawn) == names
    assert drawn.dtypes.equals(frame.dtypes)


def test_two_thousand_columns():
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.integers(0, 2, (60, 2000)).astype(str)).rename(
        columns="c{}".format
    )
    drawn = rows_of(quick_fit(describe(dict.fromkeys(table, "categorical")), table).sample(20))
    assert list(drawn) == list(table)
    assert set(np.unique(drawn.to_numpy().astype(str))) == {"0", "1"}
