"""Columns that another column determines: found in the training table, rebuilt on the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.options import DEFAULT

# A pair of columns is tried on these rows before all of them.
TRIAL_ROWS = 5_000
# All sources at once are tried on these first: a wide table has millions of pairs.
PROBE_ROWS = 128


@dataclass(frozen=True)
class DerivedColumn:
    """A column whose code is a function of another column's code.

    Attributes:
        column: Encodes and decodes the values.
        source: Index of the determining column among the modelled ones.
        codes: Code of the derived column for every code of the source, int64 ``[source width]``.
    """

    column: CategoricalColumn | NumericColumn
    source: int
    codes: np.ndarray


def split_derived(
    frame: pd.DataFrame,
    columns: list[CategoricalColumn | NumericColumn],
    min_rows: int = DEFAULT.min_rows_per_level,
) -> tuple[list[CategoricalColumn | NumericColumn], list[DerivedColumn]]:
    """Part the columns of a frame into those to model and those that follow from them.

    Education in years follows from education by name, a state from its city: a generator would
    have to learn what is exactly known. Only columns without positions take part. A source has at
    least as many levels as what it determines, so the widest columns are looked at first and a
    source is never itself derived.

    Args:
        frame: The training rows.
        columns: All columns, fitted to the frame.
        min_rows: A level has to be seen so often before "it always goes with the same value of the
            other" says anything (`EncodingOptions.min_rows_per_level`).

    Returns:
        The modelled columns, in their order, and the derived ones.
    """
    candidates = [
        c
        for c in columns
        if c.width > 1 and not c.has_positions and len(frame) >= min_rows * c.width
    ]
    candidates.sort(key=lambda column: -column.width)  # stable: the first of equals is the source
    head = frame.head(TRIAL_ROWS)
    full: dict[Any, np.ndarray] = {}

    def all_codes(column: CategoricalColumn | NumericColumn) -> np.ndarray:
        if column.name not in full:
            full[column.name] = column.encode(frame[column.name])[0]
        return full[column.name]

    trial = {column.name: column.encode(head[column.name])[0] for column in candidates}
    # The row, for each source, that first holds the code of a row: what the source determines is
    # the same there.
    first = np.empty((len(candidates), min(len(head), PROBE_ROWS)), dtype=np.int64)
    kept: list[CategoricalColumn | NumericColumn] = []
    found: dict[Any, tuple[CategoricalColumn | NumericColumn, np.ndarray]] = {}
    for column in candidates:
        probe = trial[column.name][:PROBE_ROWS]
        for index in np.flatnonzero((probe[first[: len(kept)]] == probe).all(axis=1)):
            source = kept[index]
            if _determines(trial[source.name], trial[column.name], source.width) is None:
                continue
            codes = _determines(all_codes(source), all_codes(column), source.width)
            if codes is not None and _is_evident(source, codes, min_rows):
                found[column.name] = (source, codes)
                break
        else:
            _, rows, codes = np.unique(probe, return_index=True, return_inverse=True)
            first[len(kept)] = rows[codes]
            kept.append(column)
    modelled = [column for column in columns if column.name not in found]
    place = {column.name: index for index, column in enumerate(modelled)}
    derived = [
        DerivedColumn(column, place[found[column.name][0].name], found[column.name][1])
        for column in columns
        if column.name in found
    ]
    return modelled, derived


def _is_evident(
    source: CategoricalColumn | NumericColumn, codes: np.ndarray, min_rows: int
) -> bool:
    """Whether every derived value goes with some level of the source that is seen often."""
    often = source.counts >= min_rows
    return set(codes[often]) == set(codes)


def _determines(source: np.ndarray, column: np.ndarray, width: int) -> np.ndarray | None:
    """The code of ``column`` for every code of ``source``, or None where it varies."""
    codes = np.zeros(width, dtype=np.int64)
    codes[source] = column
    return codes if np.array_equal(codes[source], column) else None
