"""Relations that a table's encoding holds, and how rows are made to keep them.

`encoding.relations.plan` chooses. What is *rebuilt* is not modelled at all: a total follows from
its parts. What is *copied* has a code of its own, "the same as that one", where it holds in a
share of the rows. The rest is *mended*: a row that breaks an order, a zero or a dependence gets
another value in one column, from the values that this column has where it may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn, restore
from sdv_wgangp.encoding.derived import DerivedColumn
from sdv_wgangp.encoding.relations.relation import (
    AT_MOST,
    BELOW,
    DEPENDENCE,
    DIFFERENCES,
    MISSING,
    MISSING_TOGETHER,
    ONE_TO_ONE,
    ZERO,
    ZEROS_TOGETHER,
    Relation,
)
from sdv_wgangp.encoding.relations.values import UNITS, numbers_of, with_dates

REBUILT, COPIED, ALWAYS_COPIED, MENDED = "rebuilt", "copied", "always copied", "mended"
FOLLOWS = (DEPENDENCE, ONE_TO_ONE)


@dataclass(frozen=True)
class ValuesOf:
    """The values of a column, as far as relations have to know them.

    Attributes:
        name: Of the column.
        dtype: Of the training column.
        decimals: Of its numbers; None where they have no fixed number of them.
        low, high: Its smallest and largest value, in the unit of the relations.
        quantiles: Its values at even steps of rank, float64 ``[k]``, ascending.
        unit: Of dates.
        nanoseconds: Whether its numbers are nanoseconds since 1970, which stand for dates.
    """

    name: str
    dtype: object
    decimals: int | None
    low: float
    high: float
    quantiles: np.ndarray = field(repr=False)
    unit: str
    nanoseconds: bool = False

    def read(self, series: pd.Series) -> np.ndarray:
        """As float64, NaN where missing, ``[n]``."""
        if self.nanoseconds:
            name = str(series.name)
            series = with_dates(series.to_frame(name), [name])[name]
        return numbers_of(series, self.unit, self.decimals)

    def write(self, numbers: np.ndarray) -> pd.Series:
        """The inverse of `read`, in the dtype of the training column."""
        missing = np.isnan(numbers)
        known = np.where(missing, 0.0, numbers)
        kind = getattr(self.dtype, "kind", "")
        is_date = isinstance(self.dtype, pd.DatetimeTZDtype) or (kind and kind in "mM")
        if is_date or self.nanoseconds:
            whole = np.floor(known)
            size = UNITS[self.unit]
            values = whole.astype(np.int64) * size
            values += np.rint((known - whole) * size).astype(np.int64)
            return restore(values, missing, self.dtype, self.name)
        if kind and kind in "iu":
            known = np.rint(known).astype(np.int64)
        elif self.decimals is not None:
            known = np.round(known, self.decimals)
        return restore(known, missing, self.dtype, self.name)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Where numbers lie in the range of the column, bool ``[n]``; nowhere for NaN."""
        return (numbers >= self.low) & (numbers <= self.high)

    def drawn(
        self,
        random: np.random.Generator,
        rows: int,
        least: np.ndarray | float = -np.inf,
        most: np.ndarray | float = np.inf,
        strict: bool = False,
        without_zero: bool = False,
    ) -> np.ndarray:
        """Values of the column between two bounds, by its distribution; NaN where it has none.

        Args:
            random: Source of the choice.
            rows: How many.
            least, most: Bounds, one or ``[rows]``.
            strict: Whether values must differ from finite bounds.
            without_zero: Leave zero out.
        """
        known = self.quantiles
        if without_zero:
            known = known[known != 0]
        if not len(known):
            return np.full(rows, np.nan)
        before, behind = np.broadcast_to(least, rows), np.broadcast_to(most, rows)
        if strict:
            begin = np.searchsorted(known, before, side="right")
            end = np.searchsorted(known, behind, side="left")
        else:
            begin = np.searchsorted(known, before, side="left")
            end = np.searchsorted(known, behind, side="right")
        count = end - begin
        chosen = begin + (random.random(rows) * count).astype(np.int64)
        return np.where(count > 0, known[np.minimum(chosen, len(known) - 1)], np.nan)


def made(relation: Relation, sources: list[np.ndarray], decimals: int | None) -> np.ndarray:
    """What a relation says its first column is, float64 ``[n]``; NaN where it says nothing.

    Args:
        relation: An equality, a line, sum, product or ratio.
        sources: Its other columns, ``[n]`` each.
        decimals: Of the first column.
    """
    with np.errstate(all="ignore"):
        result = relation.result(sources)
    result = np.where(np.isfinite(result), result, np.nan)
    digits = decimals if relation.decimals is None else relation.decimals
    return result if digits is None else np.round(result, digits)


@dataclass(frozen=True, eq=False)
class Held:
    """One relation, and how it is held.

    Attributes:
        relation: The relation.
        how: `REBUILT`, `COPIED`, `ALWAYS_COPIED` or `MENDED`.
        target: The column that is changed.
        copy: Of a copy, its place among the copies of the target.
        known: Of a dependence, combinations of codes of its sources as numbers, ascending.
        follows: The code of the target for each of these.
    """

    relation: Relation
    how: str
    target: str
    copy: int = -1
    known: np.ndarray | None = None
    follows: np.ndarray | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The other columns."""
        return tuple(name for name in self.relation.columns if name != self.target)


Column = CategoricalColumn | NumericColumn


@dataclass(frozen=True, eq=False)
class HeldRelations:
    """What a table's encoding holds.

    Attributes:
        steps: In the order in which rows are made to keep them: a source before its targets.
        values: Of the columns of numbers and dates that take part, by name.
        watched: Relations of numbers that hold in all rows, whether a step holds them or not:
            what two of them ask of a row may be too much for the column that is mended.
    """

    steps: tuple[Held, ...] = ()
    values: Mapping[str, ValuesOf] = field(default_factory=dict)
    watched: tuple[Relation, ...] = ()

    @property
    def rebuilt(self) -> tuple[str, ...]:
        """Columns that are not modelled."""
        return tuple(step.target for step in self.steps if step.how == REBUILT)

    def copies(self, name: Any) -> tuple[Held, ...]:
        """The copies of a column, in the order of their codes."""
        own = [step for step in self.steps if step.target == name and step.copy >= 0]
        return tuple(sorted(own, key=lambda step: step.copy))

    def without_copies(self, name: Any) -> HeldRelations:
        """The same, but for the copies of a column."""
        steps = [step for step in self.steps if step.target != name or step.copy < 0]
        return replace(self, steps=tuple(steps))

    def broken_by(self, frame: pd.DataFrame) -> list[str]:
        """The relations of numbers that some rows break, by their statements."""
        numbers = self._read(frame)
        return [r.statement for r in self.watched if _broken(r, numbers).any()]

    def _read(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """The numbers of a frame's columns that relations compare."""
        return {name: own.read(frame[name]) for name, own in self.values.items()}

    def copied_columns(self) -> tuple[str, ...]:
        """Columns that have copies."""
        return tuple(dict.fromkeys(step.target for step in self.steps if step.copy >= 0))

    def marks(self, frame: pd.DataFrame, name: Any) -> np.ndarray:
        """Which copy the rows of a column are, or -1; int64 ``[n]``.

        Args:
            frame: Rows that have the column and those it is copied from.
            name: Of the column.
        """
        found = np.full(len(frame), -1)
        for step in reversed(self.copies(name)):  # the first of them, which is the most frequent
            numbers = [self.values[each].read(frame[each]) for each in step.relation.columns]
            said, held = step.relation.check(numbers)
            found[said & held] = step.copy
        return found

    def bad(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows that break a relation all the same, or a rebuilt value's range; bool ``[n]``."""
        numbers = self._read(frame)
        bad = np.zeros(len(frame), dtype=bool)
        for name in self.rebuilt:
            bad |= ~np.isnan(numbers[name]) & ~self.values[name].inside(numbers[name])
        for relation in self.watched:
            bad |= _broken(relation, numbers)
        return bad

    def broken(self, frame: pd.DataFrame) -> tuple[Held, int] | None:
        """A rebuilt column that does not follow as it did, and a row where; None if all do."""
        numbers = self._read(frame)
        for step in self.steps:
            if step.how != REBUILT:
                continue
            own, *others = (numbers[name] for name in step.relation.columns)
            absent = np.isnan(own) != np.isnan(others).any(0)
            if (wrong := _broken(step.relation, numbers) | absent).any():
                return step, int(wrong.argmax())
        return None

    def keep(
        self,
        columns: dict[Any, pd.Series],
        marks: Mapping[Any, np.ndarray],
        known: Mapping[Any, Column],
        random: np.random.Generator,
        derived: Sequence[tuple[Any, DerivedColumn]] = (),
    ) -> None:
        """Make decoded rows keep the relations, in place.

        Args:
            columns: By name; those that are rebuilt are added.
            marks: Which copy the rows of a column are, or -1, ``[n]`` each.
            known: The fitted columns.
            random: Source of what is mended with.
            derived: Derived columns with the names of their sources: they follow what is mended.
        """
        rows = _Rows(self, columns, marks, known, random)
        for step in self.steps:
            if rows.apply(step):
                for source, follower in derived:
                    if source == step.target:
                        rows.derive(source, follower)


class _Rows:
    """Decoded rows on their way."""

    def __init__(
        self,
        held: HeldRelations,
        columns: dict[Any, pd.Series],
        marks: Mapping[Any, np.ndarray],
        known: Mapping[Any, Column],
        random: np.random.Generator,
    ):
        self.held, self.columns, self.marks = held, columns, marks
        self.known, self.random = known, random
        self._numbers: dict[Any, np.ndarray] = {}

    def numbers(self, name: str) -> np.ndarray:
        if name not in self._numbers:
            self._numbers[name] = self.held.values[name].read(self.columns[name])
        return self._numbers[name]

    def set_numbers(self, name: str, numbers: np.ndarray) -> None:
        # What follows is made of the numbers that the column holds then, rounded to its dtype.
        self._numbers.pop(name, None)
        self.columns[name] = self.held.values[name].write(numbers)

    def set_missing(self, name: str, rows: np.ndarray) -> None:
        self.columns[name] = self.columns[name].mask(rows)
        self._numbers.pop(name, None)

    def derive(self, source: Any, follower: DerivedColumn) -> None:
        codes = self.known[source].encode(self.columns[source])[0]
        name = follower.column.name
        self.columns[name] = follower.column.decode(follower.codes[codes])
        self._numbers.pop(name, None)

    def apply(self, step: Held) -> bool:
        """Whether something was mended."""
        kind = step.relation.kind
        if step.how != MENDED:
            self._make(step)
            return False
        if kind in (MISSING, MISSING_TOGETHER):
            return self._mend_missing(step)
        if kind in FOLLOWS:
            return self._mend_dependence(step)
        target = step.target
        numbers, source = self.numbers(target), self.numbers(step.sources[0])
        there = ~np.isnan(numbers) & ~np.isnan(source)
        if kind in (ZERO, ZEROS_TOGETHER):
            bad = there & (source == 0) & (numbers != 0)
            new = np.zeros(int(bad.sum()))
            if kind == ZEROS_TOGETHER:
                empty = there & (source != 0) & (numbers == 0)
                new = np.zeros(len(numbers))
                new[empty] = self._draw(target, int(empty.sum()), without_zero=True)
                bad |= empty
                new = new[bad]
        elif kind == DIFFERENCES:
            step_of = 1.0 if step.relation.columns[0] == target else -1.0
            apart = np.array(step.relation.differences) * step_of
            bad = there & (np.abs(numbers - source - _nearest(numbers - source, apart)) > 1e-9)
            of = self.held.values[target]
            options = source[bad, None] + apart
            away = np.abs(options - numbers[bad, None])
            away[~of.inside(options)] = np.inf
            new = options[np.arange(len(options)), away.argmin(1)] if len(options) else away[:, 0]
        elif kind in (AT_MOST, BELOW):
            below, strict = step.relation.columns[0] == target, kind == BELOW
            if below:
                bad = there & ((numbers >= source) if strict else (numbers > source))
                new = self._draw(target, int(bad.sum()), most=source[bad], strict=strict)
            else:
                bad = there & ((numbers <= source) if strict else (numbers < source))
                new = self._draw(target, int(bad.sum()), least=source[bad], strict=strict)
        else:
            raise ValueError(f"a relation of kind {kind!r} is not mended")
        if not bad.any():
            return False
        self.set_numbers(target, _with(numbers, bad, new))
        return True

    def _draw(self, name: str, rows: int, **bounds) -> np.ndarray:
        return self.held.values[name].drawn(self.random, rows, **bounds)

    def _make(self, step: Held) -> None:
        values = self.held.values[step.target]
        sources = [self.numbers(name) for name in step.relation.columns[1:]]
        result = made(step.relation, sources, values.decimals)
        if step.how == REBUILT:
            self.set_numbers(step.target, result)
            return
        own = self.numbers(step.target)
        possible = values.inside(result)
        if step.how == ALWAYS_COPIED:
            chosen = possible & ~np.isnan(own)
        else:
            chosen = possible & (self.marks[step.target] == step.copy)
        if chosen.any():
            self.set_numbers(step.target, np.where(chosen, result, own))

    def _mend_missing(self, step: Held) -> bool:
        target, source = self.columns[step.target], self.columns[step.sources[0]]
        absent, wanted = target.isna().to_numpy(), source.isna().to_numpy()
        too_few = wanted & ~absent
        if too_few.any():
            self.set_missing(step.target, too_few)
        too_many = absent & ~wanted
        if step.relation.kind == MISSING or not too_many.any():
            return bool(too_few.any())
        column, rows = self.known[step.target], int(too_many.sum())
        counts = column.counts.copy()
        counts[column.missing_code] = 0
        codes = self.random.choice(len(counts), rows, p=counts / counts.sum())
        places = self.random.random(rows, dtype=np.float32) if column.has_positions else None
        drawn = column.decode(codes, places)
        mended = self.columns[step.target].astype(object)
        mended[too_many] = drawn.astype(object).to_numpy()
        self.columns[step.target] = mended.astype(target.dtype)
        self._numbers.pop(step.target, None)
        return True

    def _mend_dependence(self, step: Held) -> bool:
        assert step.known is not None
        assert step.follows is not None
        combined = combination(
            [self.known[name] for name in step.relation.columns[1:]],
            [self.columns[name] for name in step.relation.columns[1:]],
        )
        place = np.searchsorted(step.known, combined).clip(0, len(step.known) - 1)
        seen = step.known[place] == combined
        column = self.known[step.target]
        own = column.encode(self.columns[step.target])[0]
        codes = np.where(seen, step.follows[place], own)
        if np.array_equal(codes, own):
            return False
        self.columns[step.target] = column.decode(codes)
        self._numbers.pop(step.target, None)
        return True


def _broken(relation: Relation, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows that break a relation of numbers, bool ``[n]``."""
    said, held = relation.check([numbers[name] for name in relation.columns])
    return said & ~held


def _with(numbers: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy with other values in some rows, but where these are NaN."""
    result = numbers.copy()
    result[rows] = np.where(np.isnan(values), numbers[rows], values)
    return result


def _nearest(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of some values that next to each number."""
    return values[np.abs(numbers[:, None] - values).argmin(1)]


def combination(columns: list[Column], series: list[pd.Series]) -> np.ndarray:
    """The codes of several columns as one number, int64 ``[n]``."""
    result = np.zeros(len(series[0]), dtype=np.int64)
    for column, own in zip(columns, series, strict=True):
        result = result * column.width + column.encode(own)[0]
    return result


def without_levels(relation: Relation) -> Relation:
    """The relation without the rows that a dependence was seen in."""
    return replace(relation, levels=None)
