"""The tables of a report: checked against the metadata, and in types that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import scores

EMPTY = "empty in both tables"


@dataclass(frozen=True)
class Tables:
    """What is compared.

    Attributes:
        real, synthetic, holdout: All described columns, in comparable types.
        raw: The same tables as they were given, without the columns that are empty in both.
        about: SDV's metadata of the table, as a dictionary.
        about_raw: That of the columns of `raw`.
        described: ``name -> sdtype`` of all columns.
        scored: Of those that scores compare.
        empty: ``name -> why`` of those that hold nothing.
    """

    real: pd.DataFrame
    synthetic: pd.DataFrame
    holdout: pd.DataFrame | None
    raw: tuple[pd.DataFrame, ...]
    about: dict[str, Any]
    about_raw: dict[str, Any]
    described: dict[str, str]
    scored: dict[str, str]
    empty: dict[str, str]


def read_tables(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None,
    metadata: Any,
    target: str | None = None,
) -> Tables:
    """Check the tables of a report and bring them into comparable types.

    Raises:
        ValueError: a table has no rows, a described column is missing, holds values of another
            type, or infinite ones, no column can be compared, or not the target; the message
            names the column.
    """
    about = scores.single_table(metadata)
    about["columns"] = {str(name): column for name, column in about["columns"].items()}
    given = {"real": real, "synthetic": synthetic}
    if holdout is not None:
        given["held-out"] = holdout
    tables = {
        name: table.set_axis(table.columns.map(str), axis=1) for name, table in given.items()
    }
    real, synthetic = tables["real"], tables["synthetic"]
    for where, table in tables.items():
        if len(table) == 0:
            raise ValueError(f"the {where} data has no rows")
        absent = [name for name in about["columns"] if name not in table.columns]
        if absent:
            raise ValueError(
                f"column {absent[0]!r} of the metadata is missing from the {where} data"
            )
    described = scores.columns_of(about)
    empty = {
        name: EMPTY
        for name in described
        if real[name].isna().all() and synthetic[name].isna().all()
    }
    known = scores.NUMBERS + scores.CATEGORIES
    scored = {n: sdtype for n, sdtype in described.items() if sdtype in known and n not in empty}
    if not scored:
        reasons = (f"{name!r} is {empty.get(name, kind)}" for name, kind in described.items())
        raise ValueError(f"no column can be compared: {'; '.join(reasons)}")
    if target is not None and target not in scored:
        raise ValueError(
            f"target {target!r} is not a column that can be predicted: choose one of "
            + ", ".join(scored)
        )
    prepared = prepare(list(tables.values()), about)
    for where, table in zip(tables, prepared, strict=True):
        _check_finite(table, scored, where)
    kept = [name for name in described if name not in empty]
    return Tables(
        real=prepared[0],
        synthetic=prepared[1],
        holdout=None if holdout is None else prepared[2],
        raw=tuple(table[kept] for table in tables.values()),
        about=about,
        about_raw=_without(about, list(empty)),
        described=described,
        scored=scored,
        empty=empty,
    )


def _check_finite(table: pd.DataFrame, columns: Mapping[str, str], where: str) -> None:
    for name, sdtype in columns.items():
        if sdtype == "numerical" and np.isinf(scores.to_numbers(table[name], sdtype)).any():
            raise ValueError(
                f"column {name!r} holds an infinite value in the {where} data: make it missing, "
                "or leave the row out"
            )


def _without(about: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The metadata without some columns, and without a key that has one of them."""
    kept = {name: column for name, column in about["columns"].items() if name not in names}
    rest = {key: value for key, value in about.items() if key not in ("columns", "primary_key")}
    key = about.get("primary_key")
    if key is not None and not set(names) & set([key] if isinstance(key, str) else key):
        rest["primary_key"] = key
    return rest | {"columns": kept}


def prepare(tables: list[pd.DataFrame], about: Mapping) -> list[pd.DataFrame]:
    """The described columns of every table, in types that can be compared with each other.

    Datetimes are parsed (by ``datetime_format`` where the metadata gives one). A categorical
    column that is text in one table and numbers in another, as two CSV files may be read, becomes
    text in both.

    Raises:
        ValueError: a datetime or a number cannot be read as such, or a category cannot be
            counted; the message names the column.
    """
    described = about["columns"]
    tables = [table[list(described)].reset_index(drop=True) for table in tables]
    for name, column in described.items():
        values = [table[name] for table in tables]
        sdtype = column["sdtype"]
        if sdtype == "datetime":
            ready = [_datetimes(v, column.get("datetime_format")) for v in values]
        elif sdtype == "numerical":
            ready = []
            for v in values:
                scores.to_numbers(v, sdtype)
                ready.append(pd.to_numeric(v))
        elif sdtype in scores.CATEGORIES:
            for v in values:
                _check_hashable(v, sdtype)
            plain = [pd.api.types.is_numeric_dtype(v) for v in values]
            # Truth values and integers with missing ones may be objects in one of the tables.
            ready = [v if all(plain) or not any(plain) else _as_text(v) for v in values]
        else:
            continue
        for table, v in zip(tables, ready, strict=True):
            table[name] = v
    return tables


def _check_hashable(values: pd.Series, sdtype: str) -> None:
    try:
        values.nunique()
    except TypeError as error:
        raise ValueError(
            f"column {values.name!r} is described as {sdtype} but holds lists or other values "
            "that cannot be counted: turn them into text"
        ) from error


def _datetimes(values: pd.Series, form: str | None) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    try:
        found = pd.to_datetime(values, format=form)
        # Of a zone with summer time there are two offsets.
        mixed = not pd.api.types.is_datetime64_any_dtype(found)
        return pd.to_datetime(values, format=form, utc=True) if mixed else found
    except (TypeError, ValueError) as error:
        expected = f" of the format {form!r}" if form else ""
        raise ValueError(
            f"column {values.name!r} is described as datetime but holds a value that is no "
            f"datetime{expected}: {str(error).splitlines()[0]}"
        ) from error


def _as_text(values: pd.Series) -> pd.Series:
    def text(value):
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value)

    return values.map(text, na_action="ignore").astype(object)
