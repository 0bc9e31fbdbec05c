"""Tables as numbers, for every score: which columns count, their values, codes and features.

Tables are described by ``columns``, a dictionary ``name -> sdtype``. Columns of sdtype
``numerical`` and ``datetime`` are compared as numbers, ``categorical``, ``boolean`` and
``ordinal`` ones by equality; columns of any other sdtype (keys, personal data, text) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = ("numerical", "datetime")
CATEGORIES = ("categorical", "boolean", "ordinal")
MAX_LEVELS = 255  # what scikit-learn's histogram trees accept in one categorical column


def columns_of(metadata: Any) -> dict[str, str]:
    """``name -> sdtype`` of the one table of ``metadata``.

    Args:
        metadata: SDV's ``Metadata`` or its dictionary, with or without the ``tables`` level.

    Raises:
        ValueError: the metadata describes more than one table, or none.
    """
    described = single_table(metadata)["columns"]
    return {str(name): about["sdtype"] for name, about in described.items()}


def single_table(metadata: Any) -> dict:
    """The dictionary of the one table of ``metadata`` (see `columns_of`)."""
    about = metadata if isinstance(metadata, Mapping) else metadata.to_dict()
    if "tables" in about:
        tables = about["tables"]
        if len(tables) != 1:
            raise ValueError(
                f"the metadata describes {len(tables)} tables: give the metadata of one table"
            )
        about = next(iter(tables.values()))
    if "columns" not in about:
        raise ValueError("the metadata has no 'columns': give SDV's metadata of one table")
    return dict(about)


def to_numbers(values: pd.Series, sdtype: str) -> np.ndarray:
    """A ``numerical`` or ``datetime`` column as float64, NaN where a value is missing.

    Datetimes become nanoseconds since 1970.

    Raises:
        ValueError: a value is neither a number nor a datetime; the message names the column.
    """
    try:
        if sdtype == "datetime" and not pd.api.types.is_numeric_dtype(values):
            parsed = values
            if not pd.api.types.is_datetime64_any_dtype(values):
                parsed = pd.to_datetime(values)
            if parsed.dt.tz is not None:
                parsed = parsed.dt.tz_convert("UTC").dt.tz_localize(None)
            stamps = parsed.to_numpy("datetime64[ns]")
            numbers = stamps.astype(np.int64).astype(np.float64)
            numbers[np.isnat(stamps)] = np.nan
            return numbers
        return pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"column {values.name!r} is described as {sdtype} but holds other values ({error})"
        ) from error


def to_codes(columns: Sequence[pd.Series]) -> tuple[list[np.ndarray], list]:
    """The same category gets the same code in every one of ``columns``; missing is -1.

    Returns:
        One integer array per column, and the levels that the codes stand for.
    """
    joined = pd.concat([_plain(column) for column in columns], ignore_index=True)
    codes, levels = pd.factorize(joined, use_na_sentinel=True)
    cuts = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(codes, cuts), list(levels)


def _plain(column: pd.Series) -> pd.Series:
    """``column`` as Python objects: as such 1, 1.0 and True are the same category."""
    return column.astype(object).mask(column.isna(), None)


def used(columns: Mapping[str, str], *tables: pd.DataFrame) -> dict[str, str]:
    used = {name: sdtype for name, sdtype in columns.items() if sdtype in NUMBERS + CATEGORIES}
    if not used:
        raise ValueError("no column is numerical, datetime, categorical, boolean or ordinal")
    for table in tables:
        absent = [name for name in used if name not in table.columns]
        if absent:
            raise ValueError(f"column {absent[0]!r} is described but missing from the data")
        if len(table) == 0:
            raise ValueError("the data has no rows")
    return used


def tree_tables(
    columns: Mapping[str, str], tables: Sequence[pd.DataFrame]
) -> tuple[list[np.ndarray], np.ndarray]:
    """What boosted trees are fed: float64 (rows, columns) per table, and who is categorical.

    A missing value is NaN. Of a column with more than 255 levels the rarest, counted over all
    tables together, share the last code.
    """
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            encoded = [to_numbers(table[name], sdtype) for table in tables]
        else:
            codes, levels = to_codes([table[name] for table in tables])
            everything = np.concatenate(codes)
            counts = np.bincount(everything[everything >= 0], minlength=len(levels))
            rank = np.empty(len(levels), dtype=np.int64)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(levels))
            rank = np.minimum(rank, MAX_LEVELS - 1)
            encoded = [np.where(code < 0, np.nan, np.append(rank, 0)[code]) for code in codes]
        for part, values in zip(parts, encoded, strict=True):
            part.append(values)
    categorical = np.array([sdtype in CATEGORIES for sdtype in columns.values()])
    return [np.column_stack(part) for part in parts], categorical


def without_hollow(fitted: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """The arrays with zeros in the columns that have no value in ``fitted``.

    Trees learn nothing from such a column, and scikit-learn's refuse it.

    Example:
        >>> fitted, scored = without_hollow(np.array([[np.nan, 1.0]]), np.array([[5.0, np.nan]]))
        >>> fitted.tolist(), scored.tolist()
        ([[0.0, 1.0]], [[0.0, nan]])
    """
    hollow = np.isnan(fitted).all(axis=0)
    return [np.where(hollow, 0.0, values) for values in (fitted, *others)]


def subsample(table: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(table) <= rows:
        return table
    return table.iloc[np.sort(rng.choice(len(table), rows, replace=False))]
