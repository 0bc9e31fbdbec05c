"""Conditions on the columns of a frame as codes of the modelled columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.table import TableEncoder

# SDV passes on errors that say so.
UNABLE = "Unable to sample any rows for the given conditions"


class OneOf(tuple):
    """As the value of a condition: any of these values."""


class UnmetConditionError(ValueError):
    """No row can meet a condition; the message names column and value."""


def names_of_conditions(encoder: TableEncoder) -> list[str]:
    """Columns that are sets of codes, modelled or derived, in the order of the frame."""
    discrete = {column.name for column in encoder.columns if not column.has_positions}
    derived = {derived.column.name for derived in encoder.derived}
    return [name for name in encoder.names if name in discrete | derived]


def allowed_codes(encoder: TableEncoder, conditions: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """Codes that modelled columns may have under conditions.

    A derived column's value is a set of codes of its source: those that go with it.

    Args:
        encoder: The table's encoder.
        conditions: Values by column, or `OneOf` several; a missing value is one of them.

    Returns:
        By index of the modelled column, its codes, int64, at least one each.

    Raises:
        ValueError: A column cannot be a condition; names it.
        UnmetConditionError: A value was not in its training column, or two conditions contradict
            each other; names them.
    """
    modelled = {column.name: index for index, column in enumerate(encoder.columns)}
    derived = {derived.column.name: derived for derived in encoder.derived}
    possible = names_of_conditions(encoder)
    allowed: dict[int, np.ndarray] = {}
    for name, value in conditions.items():
        if name not in encoder.names:
            raise ValueError(
                f"condition on {name!r}, which is no column of the table: name one of "
                f"{', '.join(map(str, possible))}"
            )
        if name not in possible:
            raise ValueError(
                f"column {name!r} is continuous and cannot be a condition: filter the rows, or "
                f"name one of {', '.join(map(str, possible))}"
            )
        column = encoder.column(name)
        values = value if isinstance(value, OneOf) else (value,)
        codes = np.unique([code_of(column, each) for each in values])
        if name in derived:
            index = derived[name].source
            codes = np.flatnonzero(np.isin(derived[name].codes, codes))
        else:
            index = modelled[name]
        codes = np.intersect1d(allowed.get(index, codes), codes)
        if not len(codes):
            listed = ", ".join(f"{key!r} = {given!r}" for key, given in conditions.items())
            raise UnmetConditionError(
                f"{UNABLE}: {listed} contradict each other, as {name!r} follows from "
                f"{encoder.columns[index].name!r} in the training table; change one of them"
            )
        allowed[index] = codes
    return allowed


def native_part(encoder: TableEncoder, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that `allowed_codes` takes, or refuses for their value.

    What is left out can only be met by filtering rows: columns with positions, names the table
    does not have, and numbers that are no value of a column of few values, to which a filter may
    allow a tolerance.
    """
    possible = names_of_conditions(encoder)
    return {
        name: value
        for name, value in conditions.items()
        if name in possible and _is_native(encoder.column(name), value)
    }


def _is_native(column: CategoricalColumn | NumericColumn, value: Any) -> bool:
    if isinstance(column, CategoricalColumn):
        return True
    try:
        for each in value if isinstance(value, OneOf) else (value,):
            code_of(column, each)
    except ValueError:
        return False
    return True


def values_of(encoder: TableEncoder, name: str) -> list:
    """The values of a column that can be a condition, missing ones left out.

    Raises:
        ValueError: It cannot be one; names the column.
    """
    possible = names_of_conditions(encoder)
    if name not in possible:
        raise ValueError(
            f"column {name!r} is no column of categories or few values: name one of "
            f"{', '.join(map(str, possible))}"
        )
    column = encoder.column(name)
    count = column.width - (column.missing_code is not None)
    return column.decode(np.arange(count)).tolist()


def code_of(column: CategoricalColumn | NumericColumn, value: Any) -> int:
    """The code of one value of a column without positions.

    Raises:
        UnmetConditionError: The value was not in the training column; names both.
    """
    if not pd.api.types.is_scalar(value):
        raise UnmetConditionError(
            f"{UNABLE}: column {column.name!r} is to be {value!r}, which is no single value"
        )
    if pd.isna(value):
        if column.missing_code is None:
            raise UnmetConditionError(
                f"{UNABLE}: column {column.name!r} had no missing values when it was fitted"
            )
        return int(column.missing_code)
    as_object = isinstance(column, CategoricalColumn)
    if not as_object and isinstance(value, str):
        raise UnmetConditionError(f"{UNABLE}: column {column.name!r} is numeric, not {value!r}")
    series = pd.Series([value], dtype=object if as_object else None, name=column.name)
    try:
        return int(column.encode(series)[0][0])
    except ValueError as error:
        raise UnmetConditionError(f"{UNABLE}: {error}") from error
