"""Columns of a frame as numbers that can be compared, added and divided."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.grid import decimals_of

NUMBER, DATE, CATEGORY, LARGE = range(4)
# Sums of three whole numbers up to here are exact, and so are comparisons within REACH.
LARGEST = 2**48
# How far apart floats that should be equal may lie, per unit of their size: roundings of a few
# operations.
REACH = 4 * float(np.finfo(np.float64).eps)
REACH_OF_SINGLES = 4 * float(np.finfo(np.float32).eps)
UNITS = {
    "days": 86_400 * 10**9,
    "hours": 3_600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
}


@dataclass(frozen=True)
class Values:
    """Columns as float64, NaN where missing; only those of one kind can be compared.

    Attributes:
        names: Of the columns.
        kinds: ``NUMBER``, ``DATE`` (in ``unit`` since 1970), ``CATEGORY`` (codes, the same for the
            same level of any column), ``LARGE`` (ranks of whole numbers that floats do not
            reach), int64 ``[columns]``.
        numbers: float64 ``[columns, rows]``.
        decimals: Of the values of a number; None for floats of no fixed number of them.
        reach: How far apart equal values may lie, per unit of their size, ``[columns]``.
        unit: The longest of `UNITS` that all dates are whole ones of.
    """

    names: tuple[str, ...]
    kinds: np.ndarray
    numbers: np.ndarray
    decimals: tuple[int | None, ...]
    reach: np.ndarray
    unit: str

    @classmethod
    def read(
        cls, frame: pd.DataFrame, categories: Collection[str] = (), unit: str | None = None
    ) -> Values:
        """Read a frame.

        Args:
            frame: Rows.
            categories: Columns of numbers that stand for levels.
            unit: That dates and lengths of time are measured in; None to choose it.
        """
        kinds = [_kind(frame[name], name in categories) for name in frame]
        dates = {n: _nanoseconds(frame[n]) for n, k in zip(frame, kinds, strict=True) if k == DATE}
        if unit is None:
            known = [stamps[stamps != pd.NaT.value] for stamps in dates.values()]
            unit = next(
                (u for u, size in UNITS.items() if all((d % size == 0).all() for d in known)),
                "microseconds",
            )
        numbers = np.full((len(kinds), len(frame)), np.nan)
        decimals: list[int | None] = []
        reach = np.full(len(kinds), REACH)
        for place, (name, kind) in enumerate(zip(frame, kinds, strict=True)):
            digits = None
            if kind == DATE:
                stamps = dates[name]
                known_rows = stamps != pd.NaT.value
                numbers[place, known_rows] = stamps[known_rows] / UNITS[unit]
            elif kind == NUMBER:
                numbers[place], digits, reach[place] = _numbers(frame[name], unit)
            decimals.append(digits)
        for kind in (CATEGORY, LARGE):
            places = [place for place, own in enumerate(kinds) if own == kind]
            if places:
                columns = [frame.iloc[:, place].astype(object) for place in places]
                codes, _ = pd.factorize(pd.concat(columns), sort=kind == LARGE)
                coded = np.where(codes < 0, np.nan, codes + 1.0)  # 0 would be a zero
                numbers[places] = coded.reshape(len(places), len(frame))
        return cls(
            tuple(frame.columns), np.array(kinds, dtype=np.int64), numbers, tuple(decimals),
            reach, unit,
        )  # fmt: skip


def with_dates(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """The frame with columns of nanoseconds since 1970 as the dates that they stand for."""
    return frame.assign(**{name: _dates(frame[name]) for name in names})


def _dates(series: pd.Series) -> pd.Series:
    stamps = np.full(len(series), pd.NaT.value)
    known = series.notna().to_numpy()
    stamps[known] = series[known].to_numpy(np.int64)
    return pd.Series(stamps.view("M8[ns]"), index=series.index, name=series.name)


def numbers_of(series: pd.Series, unit: str, decimals: int | None = None) -> np.ndarray:
    """A column of numbers, dates or lengths of time as float64 ``[n]``, NaN where missing.

    Args:
        series: The column.
        unit: That times are measured in.
        decimals: Of its numbers: floats of less than 64 bits are rounded to them.
    """
    if pd.api.types.is_datetime64_any_dtype(series):
        stamps = _nanoseconds(series)
        return np.where(stamps == pd.NaT.value, np.nan, stamps / UNITS[unit])
    if pd.api.types.is_timedelta64_dtype(series):
        return series.dt.total_seconds().to_numpy(np.float64) * 1e9 / UNITS[unit]
    numbers = pd.to_numeric(series).to_numpy(np.float64, na_value=np.nan)
    if decimals is None or getattr(series.dtype, "itemsize", 8) == 8:
        return numbers
    return np.round(numbers, decimals)


def _kind(values: pd.Series, is_category: bool) -> int:
    if is_category:
        return CATEGORY
    if pd.api.types.is_datetime64_any_dtype(values):
        return DATE
    if pd.api.types.is_timedelta64_dtype(values) or pd.api.types.is_bool_dtype(values):
        return NUMBER
    if pd.api.types.is_integer_dtype(values):
        known = values.dropna()
        fits = not len(known) or max(-int(known.min()), int(known.max())) < LARGEST
        return NUMBER if fits else LARGE
    if pd.api.types.is_numeric_dtype(values):
        return NUMBER
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in ("date", "datetime"):
        return DATE
    return NUMBER if inferred == "decimal" else CATEGORY


def _nanoseconds(values: pd.Series) -> np.ndarray:
    """Since 1970 in UTC, int64."""
    dates = pd.to_datetime(values)
    if dates.dt.tz is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    return dates.to_numpy("datetime64[ns]").astype(np.int64)


def _numbers(values: pd.Series, unit: str) -> tuple[np.ndarray, int | None, float]:
    """The numbers, their decimals, and how far apart equal ones may lie."""
    if pd.api.types.is_timedelta64_dtype(values):
        lengths = values.dt.total_seconds().to_numpy(np.float64) * 1e9 / UNITS[unit]
        return lengths, None, REACH
    numbers = pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
    if not pd.api.types.is_float_dtype(values) and values.dtype != object:
        return numbers, 0, REACH
    size = getattr(values.dtype, "itemsize", 8)
    precision = np.dtype({2: "f2", 4: "f4"}.get(size, "f8") if values.dtype != object else "f8")
    known = np.unique(numbers[np.isfinite(numbers)])
    digits = decimals_of(known, precision) if len(known) else None
    if precision != np.float64:
        if digits is None:
            return numbers, None, REACH_OF_SINGLES
        numbers = np.round(numbers, digits)
    return np.where(np.isfinite(numbers), numbers, np.nan), digits, REACH
