"""Sequences of several tables as flat arrays that can be compared: one code for one level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.scores.tables import CATEGORIES, NUMBERS, to_codes, to_numbers

BINS = 10  # of a column in all scores that count cells


@dataclass(frozen=True)
class Panel:
    """Sequences, one behind the other.

    Attributes:
        starts: Where each begins in the rows, and their number at the end, ``[sequences + 1]``.
        numbers: ``name -> float64 [rows]`` of the columns of numbers and dates (nanoseconds), the
            index among them; NaN where missing.
        codes: ``name -> int [rows]`` of the other columns; -1 where missing.
        attribute_numbers, attribute_codes: The same of what is constant in a sequence,
            ``[sequences]``.
        index: Name of the column that orders rows, or None.
        varying: Share of the sequences in which a context column is not constant; the first value
            is taken for it there.
        frame: The rows as a table, in the order of the arrays.
    """

    starts: np.ndarray
    numbers: Mapping[str, np.ndarray]
    codes: Mapping[str, np.ndarray]
    attribute_numbers: Mapping[str, np.ndarray]
    attribute_codes: Mapping[str, np.ndarray]
    index: str | None
    varying: float
    frame: pd.DataFrame

    def __len__(self) -> int:
        """How many sequences."""
        return len(self.starts) - 1

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.starts[-1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Rows of each sequence, ``[sequences]``."""
        return np.diff(self.starts)

    @cached_property
    def owner(self) -> np.ndarray:
        """The sequence of each row, ``[rows]``."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def position(self) -> np.ndarray:
        """How many rows of its sequence are before each row, ``[rows]``."""
        return np.arange(self.rows) - self.starts[self.owner]

    def before(self, lag: int) -> np.ndarray:
        """Rows that have another of their sequence ``lag`` rows later."""
        return np.flatnonzero(self.position + lag < self.lengths[self.owner])

    def take(self, chosen: np.ndarray) -> Panel:
        """Some of the sequences, in that order."""
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return Panel(
            starts=starts,
            numbers={name: values[rows] for name, values in self.numbers.items()},
            codes={name: values[rows] for name, values in self.codes.items()},
            attribute_numbers={n: v[chosen] for n, v in self.attribute_numbers.items()},
            attribute_codes={n: v[chosen] for n, v in self.attribute_codes.items()},
            index=self.index,
            varying=self.varying,
            frame=self.frame.iloc[rows].reset_index(drop=True),
        )

    def at_most(self, sequences: int, rng: np.random.Generator) -> Panel:
        """All sequences, or so many of them drawn at random."""
        if len(self) <= sequences:
            return self
        return self.take(np.sort(rng.choice(len(self), sequences, replace=False)))


def sdtypes(table: pd.DataFrame) -> dict[str, str]:
    """``name -> sdtype`` as the types of the columns suggest.

    Example:
        >>> sdtypes(pd.DataFrame({"x": [0.5], "on": [True], "kind": ["a"]}))
        {'x': 'numerical', 'on': 'categorical', 'kind': 'categorical'}
    """
    found = {}
    for name, values in table.items():
        if pd.api.types.is_datetime64_any_dtype(values):
            found[str(name)] = "datetime"
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            found[str(name)] = "numerical"
        else:
            found[str(name)] = "categorical"
    return found


def read_panels(
    tables: Mapping[str, pd.DataFrame],
    sequence_key: str,
    sequence_index: str | None = None,
    context_columns: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> dict[str, Panel]:
    """Tables as `Panel` objects whose columns, codes and order agree.

    Rows of a sequence stay in the order of the table: what goes back in time is seen to. Where
    rows of the first table do so themselves, their order means nothing, and the rows of all
    tables are sorted by the index.

    Args:
        tables: ``name -> rows``; the first are the real ones.
        sequence_key: The column that says which rows are one sequence.
        sequence_index: The column of numbers or dates that orders them.
        context_columns: Those that are constant in each sequence.
        columns: ``name -> sdtype``; without it what the types of the first table suggest. Of a
            type that is neither number nor category a column is left out.

    Raises:
        ValueError: A column is missing, a key is, a context column of the first table varies, or
            a column holds other values than its type says; the message names it.

    Example:
        >>> rows = pd.DataFrame({"who": [1, 2, 1], "year": [1990, 1991, 1992]})
        >>> rows["kind"] = ["a", "b", "a"]
        >>> panel = read_panels({"real": rows}, "who", "year")["real"]
        >>> panel.lengths.tolist(), panel.numbers["year"].tolist(), panel.codes["kind"].tolist()
        ([2, 1], [1990.0, 1992.0, 1991.0], [0, 0, 1])
    """
    first, real = next(iter(tables.items()))
    columns = dict(sdtypes(real) if columns is None else columns)
    known = NUMBERS + CATEGORIES
    context = list(dict.fromkeys(context_columns))
    if sequence_key in context or sequence_key == sequence_index:
        raise ValueError(
            f"the sequence key {sequence_key!r} is the index or a context column, too: name "
            "another column"
        )
    named = [sequence_key, *([] if sequence_index is None else [sequence_index]), *context]
    for where, table in tables.items():
        for name in dict.fromkeys([*named, *columns]):
            if name not in table.columns:
                raise ValueError(f"the {where} data has no column {name!r}: check its name")
        if len(table) == 0:
            raise ValueError(f"the {where} data has no rows")
        if table[sequence_key].isna().any():
            raise ValueError(
                f"the sequence key {sequence_key!r} is missing in rows of the {where} data: give "
                "each row the key of its sequence, or leave the row out"
            )
    if sequence_index is not None and columns.get(sequence_index) not in NUMBERS:
        columns[sequence_index] = "datetime"
    if sequence_index is not None and sequence_index in context:
        raise ValueError(f"the sequence index {sequence_index!r} cannot be a context column")
    columns = {n: s for n, s in columns.items() if s in known and n != sequence_key}

    grouped = {where: _grouped(table, sequence_key) for where, table in tables.items()}
    if sequence_index is not None:
        times = {
            where: to_numbers(table[sequence_index], columns[sequence_index])
            for where, (table, _) in grouped.items()
        }
        if _goes_back(times[first], grouped[first][1]):
            for where, (table, starts) in grouped.items():
                owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
                order = np.lexsort((times[where], owner))
                grouped[where] = table.iloc[order].reset_index(drop=True), starts

    numbers: dict[str, dict[str, np.ndarray]] = {where: {} for where in tables}
    codes: dict[str, dict[str, np.ndarray]] = {where: {} for where in tables}
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            for where, (table, _) in grouped.items():
                numbers[where][name] = to_numbers(table[name], sdtype)
        else:
            coded, _ = to_codes([table[name] for table, _ in grouped.values()])
            for where, ranked in zip(tables, _ranked(coded), strict=True):
                codes[where][name] = ranked
    panels = {}
    for where, (table, starts) in grouped.items():
        varies = np.zeros(len(starts) - 1, dtype=bool)
        for name in context:
            values = numbers[where].get(name, codes[where].get(name))
            if values is None:
                continue
            changed = _changed(values, starts)
            if where == first and changed.any():
                raise ValueError(
                    f"context column {name!r} is not constant in all sequences of the {where} "
                    "data: leave it out of the context columns"
                )
            varies |= changed
        heads = starts[:-1]
        panels[where] = Panel(
            starts=starts,
            numbers={n: v for n, v in numbers[where].items() if n not in context},
            codes={n: v for n, v in codes[where].items() if n not in context},
            attribute_numbers={n: v[heads] for n, v in numbers[where].items() if n in context},
            attribute_codes={n: v[heads] for n, v in codes[where].items() if n in context},
            index=sequence_index,
            varying=float(varies.mean()),
            frame=table[list(columns)],
        )
    if not panels[first].numbers and not panels[first].codes:
        raise ValueError("no column but key and context can be compared: there is no sequence")
    return panels


def _grouped(table: pd.DataFrame, key: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of each sequence together, sequences as they first appear; and their starts."""
    owner, _ = pd.factorize(table[key])
    order = np.argsort(owner, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner))])
    return table.iloc[order].reset_index(drop=True), starts


def _goes_back(values: np.ndarray, starts: np.ndarray) -> bool:
    steps = np.diff(values)
    steps[starts[1:-1] - 1] = 0
    return bool((steps < 0).any())


def _changed(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """In which sequences a column takes more than one value; missing is a value of its own."""
    before, after = values[:-1], values[1:]
    differs = (before != after) & ~((before != before) & (after != after))
    differs[starts[1:-1] - 1] = False
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.bincount(owner[1:], differs, minlength=len(starts) - 1) > 0


def _ranked(coded: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Codes by how many rows of the first table, then of the others, have them: 0 has most."""
    levels = 1 + max((int(codes.max()) for codes in coded), default=-1)
    counts = [np.bincount(codes[codes >= 0], minlength=levels) for codes in coded]
    order = np.lexsort((-sum(counts[1:], np.zeros(levels)), -counts[0]))
    rank = np.empty(levels + 1, dtype=np.int64)
    rank[order] = np.arange(levels)
    rank[-1] = -1
    return [rank[codes] for codes in coded]


def bins_of(real: np.ndarray, *others: np.ndarray, bins: int = BINS) -> list[np.ndarray]:
    """Numbers as the tenth of the real ones that they fall into; missing is ``bins``.

    Example:
        >>> real = np.array([1.0, 2.0, 3.0, 4.0])
        >>> [found.tolist() for found in bins_of(real, np.array([0.0, 9.0, np.nan]), bins=2)]
        [[0, 0, 1, 1], [0, 1, 2]]
    """
    present = real[np.isfinite(real)]
    edges = present[:0]
    if len(present):
        edges = np.unique(np.quantile(present, np.arange(1, bins) / bins))
    return [
        np.where(np.isnan(values), bins, np.searchsorted(edges, values, side="left"))
        for values in (real, *others)
    ]


def few_levels(codes: np.ndarray, most: int = BINS) -> np.ndarray:
    """Codes of which those from ``most - 1`` on are one; missing is ``most``."""
    return np.where(codes < 0, most, np.minimum(codes, most - 1))
