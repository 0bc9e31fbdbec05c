"""What stands between SDV's tables and the model, where RDT's transformers lose something."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
from rdt.transformers import UnixTimestampEncoder
from sdv.data_processing.data_processor import DataProcessor
from sdv.data_processing.numerical_formatter import NumericalFormatter

from sdv_wgangp.encoding.columns import precision_of
from sdv_wgangp.encoding.grid import DateGrid, decimals_of

# Dates of a column on which is tried whether its format keeps them.
TRIAL_DATES = 1000


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
    # Of a column of Python's objects, what they are: "date", "datetime" or "Timestamp".
    _objects: str | None = None

    def __init__(self, datetime_format: str | None = None, enforce_min_max_values: bool = False):
        super().__init__(
            missing_value_replacement=None,
            datetime_format=datetime_format,
            missing_value_generation=None,
            enforce_min_max_values=enforce_min_max_values,
        )

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
        dates = pd.DatetimeIndex(dates).as_unit("ns")
        values = np.unique(dates.asi8)
        self._span = int(values[0]), int(values[-1])
        self._grid = DateGrid.of(values, None if dates.tz is None else dates.dtype)
        if given is not None and _is_date_dtype(data.dtype):
            clock = dates[:TRIAL_DATES].tz_localize(None)
            self._shortened = not clock.equals(self._as_written(clock))

    def _learn_has_multiple_timezones(self, data: pd.Series) -> None:
        if not isinstance(data.dtype, pd.DatetimeTZDtype):  # which has one, summer and winter
            super()._learn_has_multiple_timezones(data)

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
        dates = pd.Series(self._dates(np.asarray(self._reverse_transform_helper(data))))
        if self._objects == "date":
            return dates.dt.date.astype(object).where(dates.notna(), None)
        if not self._objects and not _is_date_dtype(self._dtype):
            return self._handle_datetime_formatting(self._convert_data_to_pandas_datetime(dates))
        zone = getattr(self._dtype, "tz", None) or self._timezone_offset
        if self._shortened:
            clock = dates if zone is None else dates.dt.tz_localize("UTC").dt.tz_convert(zone)
            dates = pd.Series(self._as_written(pd.DatetimeIndex(clock).tz_localize(None)))
            if zone is not None:
                every = np.ones(len(dates), bool)
                dates = dates.dt.tz_localize(zone, ambiguous=every, nonexistent="shift_forward")
        elif zone is not None:
            dates = dates.dt.tz_localize("UTC").dt.tz_convert(zone)
        if self._objects:
            objects = dates.dt.to_pydatetime() if self._objects == "datetime" else dates
            return pd.Series(objects, dtype=object).where(dates.notna(), None)
        return dates.astype(self._dtype)

    def _dates(self, values: np.ndarray) -> pd.DatetimeIndex:
        """The dates, in UTC, that float64 nanoseconds stand for."""
        missing = np.isnan(values)
        inside = np.nextafter(2.0**63, 0)  # the floats at the ends of int64 lie beyond them
        whole = np.where(missing, self._span[0], values.clip(-inside, inside)).astype(np.int64)
        whole = whole.clip(*self._span)
        if self._grid is not None:
            whole = self._grid.snap(whole).clip(*self._span)
        return pd.DatetimeIndex(np.where(missing, pd.NaT.value, whole).view("M8[ns]"))

    def _as_written(self, clock: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """What is left of dates that are written in the given format, but for the zone."""
        form = self._get_pandas_datetime_format().replace("%z", "").replace("%Z", "").strip()
        return pd.to_datetime(clock.strftime(form), format=form)


class NumberFormatter(NumericalFormatter):
    """Decimals and range of a numeric column, exactly those of its training values.

    SDV rounds after it has clipped, which may take a number out of the range, and looks for the
    decimals of short floats as if they were long.
    """

    _span: tuple | None = None

    @classmethod
    def of(cls, formatter: NumericalFormatter, column: pd.Series) -> NumberFormatter:
        """With the settings of SDV's own, fitted to the same column."""
        made = cls.__new__(cls)
        vars(made).update(vars(formatter))
        made.learn_format(column)
        return made

    def learn_format(self, column: pd.Series) -> None:
        """Learn decimals and range."""
        super().learn_format(column)
        present = column.dropna()
        if not len(present):
            return
        self._span = present.min(), present.max()
        precision = precision_of(column.dtype)
        if self.enforce_rounding and precision != np.float64:
            decimals = decimals_of(np.unique(present.to_numpy(np.float64)), precision)
            self._rounding_digits = decimals

    def format_data(self, column: pd.Series) -> pd.Series:
        """The numbers, rounded, in the range and of the dtype of the training column."""
        if self._span is None:
            return super().format_data(column)
        inside = column.between(*self._span) | (self.enforce_min_max_values & column.notna())
        if precision_of(self._dtype) != np.float64:
            column = column.astype(np.float64)
        formatted = super().format_data(column)
        return formatted.mask(inside, formatted.clip(*self._span))


def replace_formatters(processor: DataProcessor, frame: pd.DataFrame) -> None:
    """Put ours in the place of those of SDV's that lose something.

    Args:
        processor: Fitted to the frame.
        frame: The training table.
    """
    for name, formatter in list(processor.formatters.items()):
        if isinstance(formatter, NumericalFormatter):
            processor.formatters[name] = NumberFormatter.of(formatter, frame[name])
        elif isinstance(processor._hyper_transformer.field_transformers[name], TimestampEncoder):
            del processor.formatters[name]  # its dates are those of the column already


def impossible_columns(frame: pd.DataFrame, sdtypes: dict[str, str]) -> list[str]:
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


def in_stable_dtypes(frame: pd.DataFrame, sdtypes: dict[str, str]) -> pd.DataFrame:
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
    return column.astype({"i": "Int64", "u": "UInt64"}.get(kind, "float64"))


def _is_object(column: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(column.dtype)


def _is_nullable_number(column: pd.Series) -> bool:
    extension = pd.api.types.is_extension_array_dtype(column.dtype)
    return extension and pd.api.types.is_numeric_dtype(column.dtype)


def _is_date_dtype(dtype) -> bool:
    return pd.api.types.is_datetime64_any_dtype(dtype)


def _date_objects(column: pd.Series) -> str | None:
    """The class of the dates that a column keeps as Python's objects, or None."""
    if not _is_object(column):
        return None
    classes = {type(value) for value in column[column.notna()]}
    known = (datetime.date, datetime.datetime, pd.Timestamp)
    return classes.pop().__name__ if len(classes) == 1 and classes < {*known} else None
