"""Whether values are what the metadata and the real rows allow, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.scores.tables import (
    CATEGORIES,
    NUMBERS,
    columns_of,
    single_table,
    to_codes,
    to_numbers,
)

# A column's rows that break a rule, given its values: True where they do.
Check = Callable[[pd.Series], np.ndarray]


@dataclass(frozen=True)
class Violation:
    """Rows of one column that break one rule (``kind``).

    ``count`` is of synthetic rows; ``share``, ``real`` and ``holdout`` are shares of the rows of
    the synthetic, real and held-out table. ``real`` above 0 means that the rule does not even
    hold where it should.
    """

    column: str
    kind: str
    count: int
    fraction: float
    real: float
    holdout: float | None


def violations(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    metadata: Any,
    holdout: pd.DataFrame | None = None,
) -> tuple[Violation, ...]:
    """Values that break a ``regex_format``, are new levels, out of range, missing, or keys twice.

    Levels that the metadata do not list (``range_values``) are found as text, so that 1 and "1"
    are the same.

    Args:
        real: Real rows: they give the levels and the ranges.
        synthetic: Synthetic rows with the same columns.
        metadata: SDV's metadata of the table, or its dictionary.
        holdout: Other real rows, for how often new real rows break the same rule.

    Returns:
        One record per column and rule that a synthetic row breaks; none when all is well.

    Raises:
        ValueError: a ``regex_format`` is no regular expression; the message names the column.

    Example:
        >>> real = pd.DataFrame({"kind": ["a", "b", "a"], "size": [1, 2, 3]})
        >>> synthetic = pd.DataFrame({"kind": ["a", "c", "a"], "size": [1, 2, 9]})
        >>> columns = {"kind": {"sdtype": "categorical"}, "size": {"sdtype": "numerical"}}
        >>> found = violations(real, synthetic, {"columns": columns})
        >>> [(each.column, each.kind, each.count) for each in found]
        [('kind', 'level that no real row has', 1), ('size', 'above the real range', 1)]
    """
    about = single_table(metadata)
    found = []
    for name, sdtype in columns_of(about).items():
        checks = dict(_checks(real[name], sdtype, about["columns"][name]))
        if about.get("primary_key") == name:
            checks["key that occurs twice"] = lambda values: values.duplicated(False).to_numpy()
        for kind, check in checks.items():
            broken = check(synthetic[name])
            if broken.any():
                found.append(
                    Violation(
                        column=name,
                        kind=kind,
                        count=int(broken.sum()),
                        fraction=float(broken.mean()),
                        real=float(check(real[name]).mean()),
                        holdout=None if holdout is None else float(check(holdout[name]).mean()),
                    )
                )
    return tuple(found)


def _checks(real: pd.Series, sdtype: str, described: Mapping[str, Any]) -> dict[str, Check]:
    checks: dict[str, Check] = {}
    if described.get("regex_format"):
        checks["does not match its regex_format"] = _mismatch(
            str(real.name), described["regex_format"]
        )
    if sdtype in CATEGORIES and real.notna().any():

        def is_new(values: pd.Series) -> np.ndarray:
            (known, asked), _ = to_codes([real, values])
            return (asked >= 0) & ~np.isin(asked, known)

        checks["level that no real row has"] = is_new
        if listed := {_text(v) for v in described.get("range_values") or () if pd.notna(v)}:

            def is_unlisted(values: pd.Series) -> np.ndarray:
                unlisted = [pd.notna(v) and _text(v) not in listed for v in values]
                return np.array(unlisted, dtype=bool) & ~is_new(values)

            checks["level that the metadata do not list"] = is_unlisted
    if sdtype in NUMBERS:
        known = to_numbers(real, sdtype)
        known = known[np.isfinite(known)]
        if len(known):
            low, high = known.min(), known.max()
            checks["below the real range"] = lambda values: to_numbers(values, sdtype) < low
            checks["above the real range"] = lambda values: to_numbers(values, sdtype) > high
    if not real.isna().any():
        checks["missing, which no real row is"] = lambda values: values.isna().to_numpy()
    return checks


def _mismatch(name: str, pattern: str) -> Check:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"column {name!r}: its regex_format {pattern!r} is no regular expression ({error})"
        ) from error

    def check(values: pd.Series) -> np.ndarray:
        return np.array(
            [pd.notna(value) and compiled.fullmatch(_text(value)) is None for value in values],
            dtype=bool,
        )

    return check


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
