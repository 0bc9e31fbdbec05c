"""What stands between SDV's tables and the model, where RDT's transformers lose something."""

from __future__ import annotations

import pandas as pd
from rdt.transformers import UnixTimestampEncoder


class TimestampEncoder(UnixTimestampEncoder):
    """Nanoseconds since 1970, whatever the unit of the column; missing values stay missing.

    RDT reads seconds and microseconds as if they were nanoseconds, so that samples of such a
    column all lie in January 1970.
    """

    def __init__(self, datetime_format: str | None = None, enforce_min_max_values: bool = False):
        super().__init__(
            missing_value_replacement=None,
            datetime_format=datetime_format,
            missing_value_generation=None,
            enforce_min_max_values=enforce_min_max_values,
        )

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
