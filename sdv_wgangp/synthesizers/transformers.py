"""What stands between SDV's tables and the model, where RDT's transformers lose something."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from rdt.transformers import UnixTimestampEncoder
from sdv.data_processing.data_processor import DataProcessor
from sdv.data_processing.numerical_formatter import NumericalFormatter

from sdv_wgangp.encoding.columns import precision_of
from sdv_wgangp.encoding.grid import DateGrid, decimals_of, nanoseconds

# Pandas takes it, and its types do not.
NONE: Any = None
# Dates of a column on which is tried whether its format keeps them.
TRIAL_DATES = 1000
# Days that nanoseconds reach.
FIRST_DAY, LAST_DAY = pd.Timestamp.min.date(), pd.Timestamp.max.date()
# Values that are neither numbers nor dates nor text, by what they are called and found.
ODD: dict[str, tuple] = {
    "periods": (pd.Period, lambda dtype: isinstance(dtype, pd.PeriodDtype)),
    "intervals": (pd.Interval, lambda dtype: isinstance(dtype, pd.IntervalDtype)),
    "lengths of time": (datetime.timedelta, lambda dtype: dtype.kind == "m"),
    "complex numbers": (complex, pd.api.types.is_complex_dtype),
    "times of day": (datetime.time, lambda dtype: dtype.name.startswith(("time32", "time64"))),
    "bytes": (bytes, lambda dtype: "binary" in dtype.name),
}


class TimestampEncoder(UnixTimestampEncoder):
    """Nanoseconds since 1970, whatever the unit of the column; missing values stay missing.

    What comes back keeps to the steps of the column's dates (whole days, quarters of an hour,
    firsts of the month, in the column's time zone) and to their range, exactly.

    RDT reads seconds and microseconds as if they were nanoseconds, so that samples of such a
    column all lie in January 1970; and floats skip up to 256 nanoseconds.
    """

    # Least and most nanoseconds; None where the column does not hold dates, and in columns that
    # were fitted before this was learned.
    _span: tuple[int, int] | None = None
    _grid: DateGrid | None = None
    # Whether the format of the metadata leaves out a part of the dates.
    _shortened = False
    # Of a column of Python's objects, what they are: "date" or "datetime".
    _objects: str | None = None
    _zone: pd.DatetimeTZDtype | None = None
    datetime_format: str | None

    def __init__(self, datetime_format: str | None = None, enforce_min_max_values: bool = False):
        super().__init__(
            missing_value_replacement=None,
            datetime_format=datetime_format,
            missing_value_generation=None,
            enforce_min_max_values=enforce_min_max_values,
        )

    @property
    def span(self) -> tuple[int, int] | None:
        """Nanoseconds of the first and the last training date; None where there was none."""
        return self._span

    def _fit(self, data: pd.Series) -> None:
        given = self.datetime_format
        super()._fit(data)
        if _is_date_dtype(data.dtype):
            self.datetime_format = given  # RDT guesses one from how dates look as text
        self._objects = _date_objects(data)
        self._span = self._grid = None
        dates = self._convert_to_datetime(data.drop_duplicates().dropna())
        if not len(dates) or not pd.api.types.is_datetime64_any_dtype(dates.dtype):
            return
        moments = pd.DatetimeIndex(dates).as_unit("ns")
        values = np.unique(np.asarray(moments, dtype="M8[ns]").view(np.int64))
        self._span = int(values[0]), int(values[-1])
        self._zone = pd.DatetimeTZDtype(tz=moments.tz) if moments.tz is not None else None
        self._grid = DateGrid.of(values, self._zone)
        if given is not None and _is_date_dtype(data.dtype):
            clock = moments[:TRIAL_DATES].tz_localize(None)
            self._shortened = not clock.equals(self._as_written(clock))

    def _learn_has_multiple_timezones(self, data: pd.Series) -> None:
        if not isinstance(data.dtype, pd.DatetimeTZDtype):  # which has one, summer and winter
            super()._learn_has_multiple_timezones(data)

    def _learn_timezone_offset(self, data: pd.Series) -> None:
        """Nothing: the zone is learned with the dates, in a form that model files can hold."""

    def _convert_to_datetime(self, data: pd.Series) -> pd.Series:
        datetimes = super()._convert_to_datetime(data)
        if not pd.api.types.is_datetime64_any_dtype(datetimes.dtype):
            return datetimes
        try:
            return datetimes.dt.as_unit("ns")
        except pd.errors.OutOfBoundsDatetime as error:
            raise ValueError(
                f"column {data.name!r} holds dates that nanoseconds cannot ({error}): use dates "
                "from 1678 to 2261, or declare the column categorical"
            ) from error

    def _reverse_transform(self, data: pd.Series | np.ndarray) -> pd.Series:
        if self._span is None:
            return super()._reverse_transform(data)
        values = np.asarray(self._reverse_transform_helper(data))
        return self.written(self._dates(values, self._span))

    def moments(self, data: pd.Series) -> np.ndarray:
        """Dates of which none is missing as int64 nanoseconds in UTC, exactly."""
        return nanoseconds(pd.DatetimeIndex(self._convert_to_datetime(data)))

    def stepped(self, moments: np.ndarray) -> np.ndarray:
        """The next date of the column's steps to each, int64 nanoseconds; also out of range."""
        return moments if self._grid is None else self._grid.snap(moments)

    def written(self, moments: pd.DatetimeIndex) -> pd.Series:
        """Dates in UTC as the training column has them, wherever they lie."""
        dates = pd.Series(moments)
        zone = None if self._zone is None else self._zone.tz
        if zone is not None:
            dates = dates.dt.tz_localize("UTC").dt.tz_convert(zone)
        if not self._objects and not _is_date_dtype(self._dtype):
            if self.datetime_format is None:
                return dates
            return dates.dt.strftime(self.datetime_format).astype(self._dtype)
        if self._shortened:
            short = self._as_written(pd.DatetimeIndex(dates).tz_localize(None))
            every = np.ones(len(dates), bool)
            dates = pd.Series(short.tz_localize(zone, every, nonexistent="shift_forward"))
        if self._objects == "date":
            return dates.dt.date.where(dates.notna(), NONE)
        return dates if self._objects else dates.astype(self._dtype)

    def _dates(self, values: np.ndarray, span: tuple[int, int]) -> pd.DatetimeIndex:
        """The dates, in UTC and within a span, that float64 nanoseconds stand for."""
        missing = np.isnan(values)
        inside = np.nextafter(2.0**63, 0)  # the floats at the ends of int64 lie beyond them
        whole = np.where(missing, span[0], values.clip(-inside, inside)).astype(np.int64)
        whole = whole.clip(*span)
        if self._grid is not None:
            whole = self._grid.snap(whole).clip(*span)
        return pd.DatetimeIndex(np.where(missing, pd.NaT.value, whole).view("M8[ns]"))

    def _as_written(self, clock: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """What is left of dates that are written in the given format, but for the zone."""
        form = str(self.datetime_format).replace("%#", "%").replace("%-", "%")
        form = form.replace("%z", "").replace("%Z", "").strip()
        return pd.to_datetime(clock.strftime(form), format=form)


class NumberFormatter(NumericalFormatter):
    """Decimals and range of a numeric column, exactly those of its training values.

    SDV rounds after it has clipped, which may take a number out of the range, and looks for the
    decimals of short floats as if they were long.
    """

    _span: tuple | None = None

    @property
    def span(self) -> tuple | None:
        """Least and most training value; None where there was none."""
        return self._span

    @classmethod
    def of(cls, formatter: NumericalFormatter, column: pd.Series) -> NumberFormatter:
        """With the settings of SDV's own, and fitted to the same column."""
        ours = cls.__new__(cls)
        ours.__dict__.update(vars(formatter))
        present = column.dropna()
        if len(present):
            ours._span = present.min(), present.max()
            precision = precision_of(column.dtype)
            if ours.enforce_rounding and precision != np.float64:
                values = np.unique(present.to_numpy(np.float64))
                ours._rounding_digits = decimals_of(values, precision)
            digits = ours._rounding_digits
            if digits is not None and precision == np.float64 and _nearly_have(present, digits):
                ours._rounding_digits = None
        return ours

    def format_data(self, column: pd.Series) -> pd.Series:
        """The numbers, rounded, in the range and of the dtype of the training column."""
        if self._span is None:
            return super().format_data(column)
        inside = column.between(*self._span) | (self.enforce_min_max_values & column.notna())
        if precision_of(self._dtype) != np.float64:
            column = column.astype(np.float64)
        formatted = super().format_data(column)
        return formatted.mask(inside, formatted.clip(*self._span))


def _nearly_have(column: pd.Series, decimals: int) -> bool:
    """Whether numbers have more digits than SDV looks at, so that rounding changes the last."""
    values = column.to_numpy(np.float64)
    rounded = np.round(values, decimals)
    return not np.array_equal(rounded, values) and np.allclose(
        rounded, values, rtol=1e-14, atol=1e-12
    )


def replace_formatters(processor: DataProcessor, frame: pd.DataFrame) -> None:
    """Put ours in the place of those of SDV's that lose something.

    Args:
        processor: Fitted to the frame.
        frame: The training table.
    """
    transformers = processor._hyper_transformer.field_transformers
    for name, formatter in list(processor.formatters.items()):
        if isinstance(formatter, NumericalFormatter):
            processor.formatters[name] = NumberFormatter.of(formatter, frame[name])
        elif isinstance(transformers.get(name), TimestampEncoder):
            del processor.formatters[name]  # its dates are those of the column already


def readable(frame: pd.DataFrame, columns: Mapping[Any, dict] | None = None) -> pd.DataFrame:
    """The table with Python's and Arrow's decimals as floats or integers; the given one stays.

    Args:
        frame: The table as the user gave it.
        columns: What the metadata says of its columns: categories without listed values stay.
    """
    read = frame.copy(deep=False)
    for place, (name, column) in enumerate(frame.items()):
        described = (columns or {}).get(name, {})
        numbers = described.get("sdtype", "numerical") == "numerical" or described.get(
            "range_values"
        )
        decimals = _classes(column) == {Decimal} or column.dtype.name.startswith("decimal")
        if numbers and decimals:
            read.isetitem(place, _decimals_as_numbers(column).array)
    return read


def _decimals_as_numbers(column: pd.Series) -> pd.Series:
    missing = column.isna()
    exponents = (value.as_tuple().exponent for value in column[~missing])
    if any(exponent in ("n", "N", "F") or exponent < 0 for exponent in exponents):
        return column.astype(np.float64)
    whole = [None if lost else int(value) for value, lost in zip(column, missing, strict=True)]
    return _as_numbers(pd.Series(whole, index=column.index, dtype=object, name=column.name))


def unreadable_columns(frame: pd.DataFrame, columns: Mapping[Any, dict]) -> list[str]:
    """What SDV's own check of a table fails on without telling, a line for each column.

    Args:
        frame: The table as the user gave it.
        columns: What the metadata says of its columns.
    """
    if errors := repeated_names(frame):
        return errors
    for name, column in frame.items():
        if columns.get(name, {}).get("sdtype") != "datetime":
            continue
        if isinstance(column.dtype, pd.PeriodDtype) or pd.Period in _classes(column):
            errors.append(
                f"Column {name!r} holds periods: turn them into dates with .dt.to_timestamp() or "
                "declare the column categorical."
            )
    return errors


def repeated_names(frame: pd.DataFrame) -> list[str]:
    """A line for each name that several columns have."""
    repeated = frame.columns[frame.columns.duplicated()].unique()
    return [f"Column {name!r} is there more than once: rename one of them." for name in repeated]


def far_dates(frame: pd.DataFrame, columns: Mapping[Any, dict]) -> list[str]:
    """A line for each column with dates that nanoseconds do not reach.

    Args:
        frame: The table as the user gave it.
        columns: What the metadata says of its columns.
    """
    errors = []
    for name, column in frame.items():
        described = columns.get(name, {})
        if described.get("sdtype") != "datetime" or column.dtype.name.startswith("datetime64[ns"):
            continue
        present = column[column.notna()]
        ends = [present.min(), present.max()] if _is_date_dtype(column.dtype) else present.unique()
        days = (_day(value, described.get("datetime_format")) for value in ends)
        far = next((day for day in days if day and not FIRST_DAY <= day <= LAST_DAY), None)
        if far is not None:
            errors.append(
                f"Column {name!r} holds dates that nanoseconds do not reach, like {str(far)!r}: "
                "use dates from 1678 to 2261 and missing values for never, or declare the column "
                "categorical."
            )
    return errors


def _day(value: Any, form: str | None) -> datetime.date | None:
    """The day of a date; None for what is none, or missing."""
    if isinstance(value, datetime.datetime):
        return None if pd.isna(value) else value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        if form:
            return datetime.datetime.strptime(str(value), form.replace("%-", "%")).date()
        return datetime.datetime.fromisoformat(str(value)).date()
    except ValueError:  # SDV says that it is no date
        return None


def undetectable_columns(frame: pd.DataFrame) -> list[str]:
    """What SDV cannot detect the metadata of, a line for each column."""
    if errors := repeated_names(frame):
        return errors
    for name, column in frame.items():
        dtype = getattr(column.dtype, "categories", column).dtype
        classes = _classes(column)
        for what, (odd, is_odd) in ODD.items():
            if not (is_odd(dtype) or any(issubclass(each, odd) for each in classes)):
                continue
            errors.append(
                f"Column {name!r} holds {what}, which SDV cannot detect: turn them into numbers, "
                "dates or text, or give metadata that declares the column categorical."
            )
    return errors + far_dates(
        frame, {name: {"sdtype": "datetime"} for name in frame if _holds_dates(frame[name])}
    )


def _holds_dates(column: pd.Series) -> bool:
    objects = _classes(column)
    return _is_date_dtype(column.dtype) or (
        bool(objects) and objects <= {datetime.date, datetime.datetime}
    )


def impossible_columns(frame: pd.DataFrame, sdtypes: Mapping[Any, str]) -> list[str]:
    """What SDV lets through although no sample of it could be given back, a line for each column.

    Args:
        frame: The table as the user gave it.
        sdtypes: ``column -> sdtype`` of its metadata.
    """
    errors = []
    for name, column in frame.items():
        sdtype = sdtypes.get(name)
        categorical = isinstance(column.dtype, pd.CategoricalDtype)
        if sdtype in ("numerical", "datetime") and categorical:
            errors.append(
                f"Column {name!r} is {sdtype} in the metadata and of dtype 'category', which "
                "takes no new values: declare it categorical or convert it with astype."
            )
        elif sdtype == "numerical" and column.notna().any() and _is_object(_as_numbers(column)):
            errors.append(
                f"Column {name!r} holds integers of more than 64 bits: declare it categorical or "
                "id, or convert it to float."
            )
        elif sdtype == "unknown" and _is_nullable_number(column) and column.hasnans:
            # SDV asks for its least and its largest number, and gets NA.
            errors.append(
                f"Column {name!r} has no known sdtype and missing numbers: declare it numerical, "
                "categorical or id."
            )
    return errors


def in_stable_dtypes(frame: pd.DataFrame, sdtypes: Mapping[Any, str]) -> pd.DataFrame:
    """The table without dtypes that SDV cannot give samples back in; the frame given stays.

    Numbers kept as objects get the dtype that pandas finds for them, timestamps of Arrow in
    nanoseconds that of NumPy.
    """
    stable = frame.copy(deep=False)
    for name, column in frame.items():
        if sdtypes.get(name) == "numerical":
            stable[name] = _as_numbers(column)
        elif column.dtype.name.startswith("timestamp[ns"):
            stable[name] = pd.DatetimeIndex(column)
    return stable


def _as_numbers(column: pd.Series) -> pd.Series:
    """Numbers kept as objects as integers or floats; as they are, if none or beyond 64 bits."""
    if not _is_object(column):
        return column
    present = column.dropna()
    numbers = pd.to_numeric(present)
    kind = numbers.dtype.kind
    if not len(present) or (kind not in "iu" and pd.api.types.infer_dtype(present) == "integer"):
        return column
    if len(present) == len(column):
        return numbers
    dtype: Any = {"i": "Int64", "u": "UInt64"}.get(kind, "float64")
    return column.astype(dtype)


def _is_object(column: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(column.dtype)


def _is_nullable_number(column: pd.Series) -> bool:
    extension = pd.api.types.is_extension_array_dtype(column.dtype)
    return extension and pd.api.types.is_numeric_dtype(column.dtype)


def _is_date_dtype(dtype) -> bool:
    return pd.api.types.is_datetime64_any_dtype(dtype)


def _date_objects(column: pd.Series) -> str | None:
    """Which dates a column keeps as Python's objects: "date", "datetime" or None."""
    classes = _classes(column)
    if classes == {datetime.date}:
        return "date"
    return "datetime" if classes and classes <= {datetime.datetime, pd.Timestamp} else None


def _classes(column: pd.Series) -> set[type]:
    """The classes of the present values of a column of objects; of others none."""
    return {type(value) for value in column[column.notna()]} if _is_object(column) else set()
